void interleave_line(const std::uint8_t* line, int pitch, int count, std::uint8_t* dst) {
  const std::uint8_t *a = line, *b = line + pitch, *c = line + 2 * std::ptrdiff_t{pitch};
  int i = 0;
#if defined(__AVX512VBMI__)
  for (; i + kInterleaved <= count; i += kInterleaved) {
    interleave(dst + 3 * i, load_64(a + i), load_64(b + i), load_64(c + i));
  }
#elif defined(__AVX2__)
  for (; i + kInterleaved <= count; i += kInterleaved) {
    interleave(dst + 3 * i, load_16(a + i), load_16(b + i), load_16(c + i));
  }
#elif defined(EDGEDL_NEON)
  for (; i + kInterleaved <= count; i += kInterleaved) {
    interleave(dst + 3 * i, vld1q_u8(a + i), vld1q_u8(b + i), vld1q_u8(c + i));
  }
#endif
  for (; i < count; ++i) {
    dst[3 * i] = a[i];
    dst[3 * i + 1] = b[i];
    dst[3 * i + 2] = c[i];
  }
}

#if defined(__AVX2__)

// store(i, the vector of values from i on), as far as whole vectors go; returns where that is.
template <class Store>
inline int write_vectors(const std::uint8_t* value, int count, const Scales& scales,
                         const Store& store) {
  constexpr int kPeriod = 3;  // vectors until the first value is one of the first channel again
  if (count < kFloats) return 0;
  float scale_of[kPeriod * kFloats], bias_of[kPeriod * kFloats];
  for (int i = 0, c = 0; i < kPeriod * kFloats; ++i, c = c + 1 < scales.count ? c + 1 : 0) {
    scale_of[i] = scales.scale[c];
    bias_of[i] = scales.bias[c];
  }
  Floats scale[kPeriod], bias[kPeriod];
  for (int k = 0; k < kPeriod; ++k) {
    scale[k] = load_floats(scale_of + k * kFloats);
    bias[k] = load_floats(bias_of + k * kFloats);
  }
  int i = 0;
  for (; i + kPeriod * kFloats <= count; i += kPeriod * kFloats) {
    store(i, scaled_bytes(value + i, scale[0], bias[0]));
    store(i + kFloats, scaled_bytes(value + i + kFloats, scale[1], bias[1]));
    store(i + 2 * kFloats, scaled_bytes(value + i + 2 * kFloats, scale[2], bias[2]));
  }
  for (int k = 0; i + kFloats <= count; i += kFloats, ++k) {
    store(i, scaled_bytes(value + i, scale[k], bias[k]));
  }
  return i;
}

#endif

// store(i, value i) for those from `begin` on
template <class Store>
inline void write_values(const std::uint8_t* value, int begin, int count, const Scales& scales,
                         const Store& store) {
  if (scales.count == 1) {
    const float scale = scales.scale[0], bias = scales.bias[0];
    for (int i = begin; i < count; ++i) store(i, math::normalize(value[i], scale, bias));
    return;
  }
  int c = begin % scales.count;
  for (int i = begin; i < count; ++i) {
    store(i, math::normalize(value[i], scales.scale[c], scales.bias[c]));
    c = c + 1 < scales.count ? c + 1 : 0;
  }
}

void write_float32(const std::uint8_t* value, int count, const Scales& scales, float* dst) {
  int made = 0;
#if defined(__AVX2__)
  made = write_vectors(value, count, scales, [=](int i, Floats y) { store_floats(dst + i, y); });
#endif
  write_values(value, made, count, scales, [=](int i, float y) { dst[i] = y; });
}

void write_float16(const std::uint8_t* value, int count, const Scales& scales, std::uint16_t* dst) {
  int made = 0;
#if defined(__AVX2__)
  made = write_vectors(value, count, scales, [=](int i, Floats y) { store_halves(dst + i, y); });
#endif
  write_values(value, made, count, scales, [=](int i, float y) { dst[i] = math::to_half(y); });
}

void write_int8(const std::uint8_t* value, int count, const Scales& scales, std::int8_t* dst) {
  write_values(value, 0, count, scales, [=](int i, float y) { dst[i] = math::to_int8(y); });
}

void reverse_line(const std::uint8_t* line, int count, std::uint8_t* dst) {
  for (int i = 0; i < count; ++i) dst[i] = line[count - 1 - i];
}
