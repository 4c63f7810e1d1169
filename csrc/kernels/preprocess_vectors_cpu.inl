// What the kernels below share: unaligned loads and stores by their bytes, and floats.
#if defined(__AVX2__)

inline __m128i load_16(const void* from) {
  return _mm_loadu_si128(static_cast<const __m128i*>(from));
}

inline __m256i load_32(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}

inline void store_16(void* to, __m128i value) {
  _mm_storeu_si128(static_cast<__m128i*>(to), value);
}

inline void store_32(void* to, __m256i value) {
  _mm256_storeu_si256(static_cast<__m256i*>(to), value);
}

inline __m256i join(__m128i low, __m128i high) {
  return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

#endif

#if defined(__AVX512VBMI__)

inline __m512i load_64(const void* from) {
  return _mm512_loadu_si512(from);
}

inline void store_64(void* to, __m512i value) {
  _mm512_storeu_si512(to, value);
}

#endif

#if defined(__AVX512VBMI__)

using Floats = __m512;
constexpr int kFloats = 16;

inline Floats load_floats(const float* from) {
  return _mm512_loadu_ps(from);
}

inline Floats scaled(__m512i values, Floats scale, Floats bias) {
  return _mm512_add_ps(_mm512_mul_ps(_mm512_cvtepi32_ps(values), scale), bias);
}

inline Floats scaled_bytes(const std::uint8_t* value, Floats scale, Floats bias) {
  return scaled(_mm512_cvtepu8_epi32(load_16(value)), scale, bias);
}

inline void store_floats(float* dst, Floats y) {
  _mm512_storeu_ps(dst, y);
}

inline void store_halves(std::uint16_t* dst, Floats y) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(dst),
                      _mm512_cvtps_ph(y, _MM_FROUND_TO_NEAREST_INT));
}

#elif defined(__AVX2__)

using Floats = __m256;
constexpr int kFloats = 8;

inline Floats load_floats(const float* from) {
  return _mm256_loadu_ps(from);
}

inline Floats scaled(__m256i values, Floats scale, Floats bias) {
  return _mm256_add_ps(_mm256_mul_ps(_mm256_cvtepi32_ps(values), scale), bias);
}

inline Floats scaled_bytes(const std::uint8_t* value, Floats scale, Floats bias) {
  const __m128i bytes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(value));
  return scaled(_mm256_cvtepu8_epi32(bytes), scale, bias);
}

inline void store_floats(float* dst, Floats y) {
  _mm256_storeu_ps(dst, y);
}

inline void store_halves(std::uint16_t* dst, Floats y) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(dst), _mm256_cvtps_ph(y, _MM_FROUND_TO_NEAREST_INT));
}

#endif
