// Unaligned loads and stores by their bytes, for the kernels below.
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
