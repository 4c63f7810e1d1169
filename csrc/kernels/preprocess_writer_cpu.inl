#if defined(__AVX512VBMI__)

constexpr int kFloats = 16;

inline __m512 normalize_some(const std::uint8_t* value, float scale, float bias) {
  const __m512 x = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(load_16(value)));
  return _mm512_add_ps(_mm512_mul_ps(x, _mm512_set1_ps(scale)), _mm512_set1_ps(bias));
}

inline void store_floats(float* dst, __m512 y) {
  _mm512_storeu_ps(dst, y);
}

inline void store_halves(std::uint16_t* dst, __m512 y) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst),
                      _mm512_cvtps_ph(y, _MM_FROUND_TO_NEAREST_INT));
}

#elif defined(__AVX2__)

constexpr int kFloats = 8;

inline __m256 normalize_some(const std::uint8_t* value, float scale, float bias) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(value));
  const __m256 x = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes));
  return _mm256_add_ps(_mm256_mul_ps(x, _mm256_set1_ps(scale)), _mm256_set1_ps(bias));
}

inline void store_floats(float* dst, __m256 y) {
  _mm256_storeu_ps(dst, y);
}

inline void store_halves(std::uint16_t* dst, __m256 y) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(dst), _mm256_cvtps_ph(y, _MM_FROUND_TO_NEAREST_INT));
}

#endif

void write_float32(const std::uint8_t* value, int count, float scale, float bias, float* dst,
                   std::ptrdiff_t step) {
  int i = 0;
#if defined(__AVX2__)
  if (step == 1) {
    for (; i + kFloats <= count; i += kFloats) {
      store_floats(dst + i, normalize_some(value + i, scale, bias));
    }
  }
#endif
  for (; i < count; ++i) dst[i * step] = math::normalize(value[i], scale, bias);
}

void write_float16(const std::uint8_t* value, int count, float scale, float bias,
                   std::uint16_t* dst, std::ptrdiff_t step) {
  int i = 0;
#if defined(__AVX2__)
  if (step == 1) {
    for (; i + kFloats <= count; i += kFloats) {
      store_halves(dst + i, normalize_some(value + i, scale, bias));
    }
  }
#endif
  for (; i < count; ++i) dst[i * step] = math::to_half(math::normalize(value[i], scale, bias));
}

void write_uint8(const std::uint8_t* value, int count, std::uint8_t* dst, std::ptrdiff_t step) {
  if (step == 1) {
    memcpy(dst, value, static_cast<std::size_t>(count));
  } else {
    for (int i = 0; i < count; ++i) dst[i * step] = value[i];
  }
}

void write_int8(const std::uint8_t* value, int count, float scale, float bias, std::int8_t* dst,
                std::ptrdiff_t step) {
  if (step == 1) {
    for (int i = 0; i < count; ++i) dst[i] = math::to_int8(math::normalize(value[i], scale, bias));
  } else {
    for (int i = 0; i < count; ++i) {
      dst[i * step] = math::to_int8(math::normalize(value[i], scale, bias));
    }
  }
}

void reverse_line(const std::uint8_t* line, int count, std::uint8_t* dst) {
  for (int i = 0; i < count; ++i) dst[i] = line[count - 1 - i];
}
