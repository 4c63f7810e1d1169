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

#if defined(__AVX2__) || defined(EDGEDL_NEON)

// store(i, the vector of values from i on), as far as whole vectors go; returns where that is.
template <class Store>
inline int write_vectors(const std::uint8_t* value, int count, const Scales& scales,
                         const Store& store) {
  static_assert(Scales::kPeriod % kFloats == 0);
  int i = 0;
  if (scales.count == 1) {
    const Floats scale = load_floats(scales.scale), bias = load_floats(scales.bias);
    for (; i + kFloats <= count; i += kFloats) store(i, scaled_bytes(value + i, scale, bias));
    return i;
  }
  for (int k = 0; i + kFloats <= count; i += kFloats) {
    store(i, scaled_bytes(value + i, load_floats(scales.scale + k), load_floats(scales.bias + k)));
    k = k + kFloats < Scales::kPeriod ? k + kFloats : 0;
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
  for (int i = begin; i < count; ++i) {
    const int k = i % Scales::kPeriod;
    store(i, math::normalize(value[i], scales.scale[k], scales.bias[k]));
  }
}

void write_float32(const std::uint8_t* value, int count, const Scales& scales, float* dst) {
  int made = 0;
#if defined(__AVX2__) || defined(EDGEDL_NEON)
  made = write_vectors(value, count, scales, [=](int i, Floats y) { store_floats(dst + i, y); });
#endif
  write_values(value, made, count, scales, [=](int i, float y) { dst[i] = y; });
}

void write_float16(const std::uint8_t* value, int count, const Scales& scales, std::uint16_t* dst) {
  int made = 0;
#if defined(__AVX2__) || defined(EDGEDL_NEON)
  made = write_vectors(value, count, scales, [=](int i, Floats y) { store_halves(dst + i, y); });
#endif
  write_values(value, made, count, scales, [=](int i, float y) { dst[i] = math::to_half(y); });
}

void write_int8(const std::uint8_t* value, int count, const Scales& scales, std::int8_t* dst) {
  int made = 0;
#if defined(__AVX2__) || defined(EDGEDL_NEON)
  made = write_vectors(value, count, scales, [=](int i, Floats y) { store_int8(dst + i, y); });
#endif
  write_values(value, made, count, scales, [=](int i, float y) { dst[i] = math::to_int8(y); });
}

void reverse_line(const std::uint8_t* line, int count, std::uint8_t* dst) {
  for (int i = 0; i < count; ++i) dst[i] = line[count - 1 - i];
}
