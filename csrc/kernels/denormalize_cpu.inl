// Each target has kInterleaved pixels of a channel as bytes.
#if defined(__AVX512VBMI__)

inline __m128i denormalize_16(const float* src, __m512 scale, __m512 bias) {
  const __m512 value = _mm512_add_ps(_mm512_mul_ps(_mm512_loadu_ps(src), scale), bias);
  const __m512 positive = _mm512_max_ps(value, _mm512_setzero_ps());  // NaN: the second operand
  const __m512 clamped = _mm512_min_ps(positive, _mm512_set1_ps(255.0f));
  return _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(clamped));
}

inline __m512i denormalize_bytes(const float* src, float scale, float bias) {
  const __m512 s = _mm512_set1_ps(scale), b = _mm512_set1_ps(bias);
  const __m256i low = _mm256_set_m128i(denormalize_16(src + 16, s, b), denormalize_16(src, s, b));
  const __m256i high =
      _mm256_set_m128i(denormalize_16(src + 48, s, b), denormalize_16(src + 32, s, b));
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

inline void denormalize_store(std::uint8_t* dst, __m512i bytes) {
  _mm512_storeu_si512(dst, bytes);
}

#elif defined(__AVX2__)

inline __m256i denormalize_8(const float* src, __m256 scale, __m256 bias) {
  const __m256 value = _mm256_add_ps(_mm256_mul_ps(_mm256_loadu_ps(src), scale), bias);
  const __m256 positive = _mm256_max_ps(value, _mm256_setzero_ps());  // NaN: the second operand
  return _mm256_cvtps_epi32(_mm256_min_ps(positive, _mm256_set1_ps(255.0f)));
}

inline __m128i denormalize_bytes(const float* src, float scale, float bias) {
  const __m256 s = _mm256_set1_ps(scale), b = _mm256_set1_ps(bias);
  const __m256i mixed = _mm256_packs_epi32(denormalize_8(src, s, b), denormalize_8(src + 8, s, b));
  const __m256i words = _mm256_permute4x64_epi64(mixed, 0xD8);
  return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}

inline void denormalize_store(std::uint8_t* dst, __m128i bytes) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(dst), bytes);
}

#elif defined(EDGEDL_NEON)

// The conversions saturate and make 0 of NaN.
inline int16x4_t denormalize_4(const float* src, float32x4_t scale, float32x4_t bias) {
  return vqmovn_s32(vcvtnq_s32_f32(vaddq_f32(vmulq_f32(vld1q_f32(src), scale), bias)));
}

inline uint8x16_t denormalize_bytes(const float* src, float scale, float bias) {
  const float32x4_t s = vdupq_n_f32(scale), b = vdupq_n_f32(bias);
  const int16x8_t low = vcombine_s16(denormalize_4(src, s, b), denormalize_4(src + 4, s, b));
  const int16x8_t high = vcombine_s16(denormalize_4(src + 8, s, b), denormalize_4(src + 12, s, b));
  return vcombine_u8(vqmovun_s16(low), vqmovun_s16(high));
}

inline void denormalize_store(std::uint8_t* dst, uint8x16_t bytes) {
  vst1q_u8(dst, bytes);
}

#endif

void denormalize_gray(const DenormalizePlanes& planes, std::uint8_t* dst, std::ptrdiff_t count) {
  const float* src = planes.src[0];
  std::ptrdiff_t i = 0;
#if defined(__AVX2__) || defined(EDGEDL_NEON)
  for (; i + kInterleaved <= count; i += kInterleaved) {
    denormalize_store(dst + i, denormalize_bytes(src + i, planes.scale[0], planes.bias[0]));
  }
#endif
  for (; i < count; ++i) dst[i] = math::denormalize(src[i], planes.scale[0], planes.bias[0]);
}

void denormalize_color(const DenormalizePlanes& planes, std::uint8_t* dst, std::ptrdiff_t count) {
  const float *a = planes.src[0], *b = planes.src[1], *c = planes.src[2];
  const float *scale = planes.scale, *bias = planes.bias;
  std::ptrdiff_t i = 0;
#if defined(__AVX2__) || defined(EDGEDL_NEON)
  for (; i + kInterleaved <= count; i += kInterleaved) {
    interleave(dst + 3 * i, denormalize_bytes(a + i, scale[0], bias[0]),
               denormalize_bytes(b + i, scale[1], bias[1]),
               denormalize_bytes(c + i, scale[2], bias[2]));
  }
#endif
  for (; i < count; ++i) {
    dst[3 * i] = math::denormalize(a[i], scale[0], bias[0]);
    dst[3 * i + 1] = math::denormalize(b[i], scale[1], bias[1]);
    dst[3 * i + 2] = math::denormalize(c[i], scale[2], bias[2]);
  }
}
