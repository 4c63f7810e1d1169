// What the kernels below share: unaligned loads and stores by their bytes, and floats.

// Asks memory for a row from byte `from` on, as far as `until`; returns how far it did.
inline int prefetch_until(const std::uint8_t* row, int from, int until) {
  if (row == nullptr) return from;
  for (; from < until; from += 64) __builtin_prefetch(row + from, 0, 2);
  return from;
}

// Asks memory for a row in so many pieces.
class RowPieces {
 public:
  RowPieces(const RowAhead& row, int count) : row_(row) {
    for (int i = 0; i < 3; ++i) piece_[i] = (row.bytes[i] / count + 64) & ~63;
  }

  void next() {
    for (int i = 0; i < 3 && row_.part[i] != nullptr; ++i) {
      const int until = asked_[i] + piece_[i];
      asked_[i] =
          prefetch_until(row_.part[i], asked_[i], until < row_.bytes[i] ? until : row_.bytes[i]);
    }
  }

 private:
  const RowAhead row_;
  int piece_[3];
  int asked_[3] = {};
};

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

// as math::to_int8: what is not a number becomes -128
inline void store_int8(std::int8_t* dst, Floats y) {
  y = _mm512_min_ps(_mm512_max_ps(y, _mm512_set1_ps(-128.0f)), _mm512_set1_ps(127.0f));
  store_16(dst, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(y)));
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

// as math::to_int8: what is not a number becomes -128
inline void store_int8(std::int8_t* dst, Floats y) {
  y = _mm256_min_ps(_mm256_max_ps(y, _mm256_set1_ps(-128.0f)), _mm256_set1_ps(127.0f));
  const __m256i whole = _mm256_cvtps_epi32(y);
  const __m128i shorts =
      _mm_packs_epi32(_mm256_castsi256_si128(whole), _mm256_extracti128_si256(whole, 1));
  _mm_storel_epi64(reinterpret_cast<__m128i*>(dst), _mm_packs_epi16(shorts, shorts));
}

#elif defined(EDGEDL_NEON)

struct Floats {
  float32x4_t four[4];
};
constexpr int kFloats = 16;

inline Floats load_floats(const float* from) {
  return {{vld1q_f32(from), vld1q_f32(from + 4), vld1q_f32(from + 8), vld1q_f32(from + 12)}};
}

inline float32x4_t scaled(uint16x4_t values, float32x4_t scale, float32x4_t bias) {
  return vaddq_f32(vmulq_f32(vcvtq_f32_u32(vmovl_u16(values)), scale), bias);
}

inline Floats scaled_bytes(const std::uint8_t* value, const Floats& scale, const Floats& bias) {
  const uint8x16_t bytes = vld1q_u8(value);
  const uint16x8_t low = vmovl_u8(vget_low_u8(bytes)), high = vmovl_high_u8(bytes);
  return {{scaled(vget_low_u16(low), scale.four[0], bias.four[0]),
           scaled(vget_high_u16(low), scale.four[1], bias.four[1]),
           scaled(vget_low_u16(high), scale.four[2], bias.four[2]),
           scaled(vget_high_u16(high), scale.four[3], bias.four[3])}};
}

inline void store_floats(float* dst, const Floats& y) {
  for (int i = 0; i < 4; ++i) vst1q_f32(dst + 4 * i, y.four[i]);
}

inline void store_halves(std::uint16_t* dst, const Floats& y) {
  for (int i = 0; i < 4; i += 2) {
    const float16x8_t halves = vcvt_high_f16_f32(vcvt_f16_f32(y.four[i]), y.four[i + 1]);
    vst1q_u16(dst + 4 * i, vreinterpretq_u16_f16(halves));
  }
}

// The conversions saturate.
inline int16x8_t rounded(float32x4_t low, float32x4_t high) {
  return vqmovn_high_s32(vqmovn_s32(vcvtnq_s32_f32(low)), vcvtnq_s32_f32(high));
}

inline void store_int8(std::int8_t* dst, const Floats& y) {
  const int16x8_t low = rounded(y.four[0], y.four[1]), high = rounded(y.four[2], y.four[3]);
  vst1q_s8(dst, vqmovn_high_s16(vqmovn_s16(low), high));
}

#endif
