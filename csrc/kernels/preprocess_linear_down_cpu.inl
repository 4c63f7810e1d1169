// Between two lines that linear_across made: bytes, or floats of the tensor.

#if defined(__AVX512VBMI__)

// 32 values as 16-bit numbers
inline __m512i down_vector(const std::int16_t* above, const std::int16_t* below, __m512i weight0,
                           __m512i weight1) {
  const __m512i sum = _mm512_add_epi16(_mm512_mulhi_epi16(load_64(above), weight0),
                                       _mm512_mulhi_epi16(load_64(below), weight1));
  return _mm512_srli_epi16(_mm512_add_epi16(sum, _mm512_set1_epi16(2)), 2);
}

void linear_down(const std::int16_t* above, const std::int16_t* below, std::int16_t weight0,
                 std::int16_t weight1, int count, std::uint8_t* line) {
  const __m512i w0 = _mm512_set1_epi16(weight0), w1 = _mm512_set1_epi16(weight1);
  const __m512i in_order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
  for (int i = 0; i < count; i += 64) {
    const __m512i packed = _mm512_packus_epi16(down_vector(above + i, below + i, w0, w1),
                                               down_vector(above + i + 32, below + i + 32, w0, w1));
    store_64(line + i, _mm512_permutexvar_epi64(in_order, packed));
  }
}

inline int down_vectors(const std::int16_t* above, const std::int16_t* below, std::int16_t weight0,
                        std::int16_t weight1, int count, float scale, float bias, float* dst) {
  const __m512i w0 = _mm512_set1_epi16(weight0), w1 = _mm512_set1_epi16(weight1);
  const Floats s = _mm512_set1_ps(scale), b = _mm512_set1_ps(bias);
  int i = 0;
  for (; i + 32 <= count; i += 32) {
    const __m512i value = down_vector(above + i, below + i, w0, w1);
    const __m256i low = _mm512_castsi512_si256(value), high = _mm512_extracti64x4_epi64(value, 1);
    store_floats(dst + i, scaled(_mm512_cvtepu16_epi32(low), s, b));
    store_floats(dst + i + 16, scaled(_mm512_cvtepu16_epi32(high), s, b));
  }
  return i;
}

#elif defined(__AVX2__)

// 16 values as 16-bit numbers
inline __m256i down_vector(const std::int16_t* above, const std::int16_t* below, __m256i weight0,
                           __m256i weight1) {
  const __m256i sum = _mm256_add_epi16(_mm256_mulhi_epi16(load_32(above), weight0),
                                       _mm256_mulhi_epi16(load_32(below), weight1));
  return _mm256_srli_epi16(_mm256_add_epi16(sum, _mm256_set1_epi16(2)), 2);
}

void linear_down(const std::int16_t* above, const std::int16_t* below, std::int16_t weight0,
                 std::int16_t weight1, int count, std::uint8_t* line) {
  const __m256i w0 = _mm256_set1_epi16(weight0), w1 = _mm256_set1_epi16(weight1);
  for (int i = 0; i < count; i += 32) {
    const __m256i packed = _mm256_packus_epi16(down_vector(above + i, below + i, w0, w1),
                                               down_vector(above + i + 16, below + i + 16, w0, w1));
    store_32(line + i, _mm256_permute4x64_epi64(packed, 0xd8));
  }
}

// store(i), which writes 16 floats from dst + i on, until all of `count` are written. Vectors lie
// across two lines of memory at most at both ends, where some are written twice. Returns 0 if there
// are too few.
template <class Store>
inline int for_aligned(const float* dst, int count, const Store& store) {
  constexpr int kStep = 16;
  if (count < kStep) return 0;
  const int behind =
      static_cast<int>(reinterpret_cast<std::uintptr_t>(dst) / sizeof *dst % kFloats);
  store(0);
  int i = kStep - behind;
  for (; i + kStep <= count; i += kStep) store(i);
  if (i < count) store(count - kStep);
  return count;
}

inline int down_vectors(const std::int16_t* above, const std::int16_t* below, std::int16_t weight0,
                        std::int16_t weight1, int count, float scale, float bias, float* dst) {
  const __m256i w0 = _mm256_set1_epi16(weight0), w1 = _mm256_set1_epi16(weight1);
  const Floats s = _mm256_set1_ps(scale), b = _mm256_set1_ps(bias);
  return for_aligned(dst, count, [=](int i) {
    const __m256i value = down_vector(above + i, below + i, w0, w1);
    const __m128i low = _mm256_castsi256_si128(value), high = _mm256_extracti128_si256(value, 1);
    store_floats(dst + i, scaled(_mm256_cvtepu16_epi32(low), s, b));
    store_floats(dst + i + 8, scaled(_mm256_cvtepu16_epi32(high), s, b));
  });
}

#elif defined(EDGEDL_NEON)

// 8 values, times 4 and not yet rounded
inline int16x8_t down_vector(const std::int16_t* above, const std::int16_t* below,
                             std::int16_t weight0, std::int16_t weight1) {
  const int16x8_t upper = vshrq_n_s16(vqdmulhq_n_s16(vld1q_s16(above), weight0), 1);
  return vsraq_n_s16(upper, vqdmulhq_n_s16(vld1q_s16(below), weight1), 1);
}

void linear_down(const std::int16_t* above, const std::int16_t* below, std::int16_t weight0,
                 std::int16_t weight1, int count, std::uint8_t* line) {
  for (int i = 0; i < count; i += 16) {
    const int16x8_t low = down_vector(above + i, below + i, weight0, weight1);
    const int16x8_t high = down_vector(above + i + 8, below + i + 8, weight0, weight1);
    vst1q_u8(line + i, vqrshrun_high_n_s16(vqrshrun_n_s16(low, 2), high, 2));
  }
}

inline int down_vectors(const std::int16_t* above, const std::int16_t* below, std::int16_t weight0,
                        std::int16_t weight1, int count, float scale, float bias, float* dst) {
  const float32x4_t s = vdupq_n_f32(scale), b = vdupq_n_f32(bias);
  int i = 0;
  for (; i + 8 <= count; i += 8) {
    const int16x8_t four_times = down_vector(above + i, below + i, weight0, weight1);
    const uint16x8_t value = vreinterpretq_u16_s16(vrshrq_n_s16(four_times, 2));
    vst1q_f32(dst + i, scaled(vget_low_u16(value), s, b));
    vst1q_f32(dst + i + 4, scaled(vget_high_u16(value), s, b));
  }
  return i;
}

#else

void linear_down(const std::int16_t* above, const std::int16_t* below, std::int16_t weight0,
                 std::int16_t weight1, int count, std::uint8_t* line) {
  for (int i = 0; i < count; ++i) {
    line[i] = static_cast<std::uint8_t>(math::linear_down(above[i], below[i], weight0, weight1));
  }
}

inline int down_vectors(const std::int16_t*, const std::int16_t*, std::int16_t, std::int16_t, int,
                        float, float, float*) {
  return 0;
}

#endif

void linear_down_float32(const std::int16_t* above, const std::int16_t* below, std::int16_t weight0,
                         std::int16_t weight1, int count, float scale, float bias, float* dst) {
  int i = down_vectors(above, below, weight0, weight1, count, scale, bias, dst);
  for (; i < count; ++i) {
    const int value = math::linear_down(above[i], below[i], weight0, weight1);
    dst[i] = math::normalize(value, scale, bias);
  }
}
