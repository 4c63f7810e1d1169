// math::may_suppress of the 32 kept boxes from i on, as bits.
#if defined(__AVX512F__)

inline std::uint32_t nms_suspects_16(const NmsKept& kept, int i, const math::Box& box, float share,
                                     float threshold) {
  const __m512 zero = _mm512_setzero_ps();
  const __m512 left = _mm512_max_ps(_mm512_loadu_ps(kept.x1 + i), _mm512_set1_ps(box.x1));
  const __m512 top = _mm512_max_ps(_mm512_loadu_ps(kept.y1 + i), _mm512_set1_ps(box.y1));
  const __m512 right = _mm512_min_ps(_mm512_loadu_ps(kept.x2 + i), _mm512_set1_ps(box.x2));
  const __m512 bottom = _mm512_min_ps(_mm512_loadu_ps(kept.y2 + i), _mm512_set1_ps(box.y2));
  const __m512 common = _mm512_mul_ps(_mm512_max_ps(_mm512_sub_ps(right, left), zero),
                                      _mm512_max_ps(_mm512_sub_ps(bottom, top), zero));
  const __m512 shares = _mm512_add_ps(_mm512_loadu_ps(kept.share + i), _mm512_set1_ps(share));
  return _mm512_cmp_ps_mask(_mm512_mul_ps(common, _mm512_set1_ps(1.0f + threshold)), shares,
                            _CMP_GT_OQ);
}

inline std::uint32_t nms_suspects(const NmsKept& kept, int i, const math::Box& box, float share,
                                  float threshold) {
  return nms_suspects_16(kept, i, box, share, threshold) |
         nms_suspects_16(kept, i + 16, box, share, threshold) << 16;
}

#elif defined(__AVX2__)

inline std::uint32_t nms_suspects_8(const NmsKept& kept, int i, const math::Box& box, float share,
                                    float threshold) {
  const __m256 zero = _mm256_setzero_ps();
  const __m256 left = _mm256_max_ps(_mm256_loadu_ps(kept.x1 + i), _mm256_set1_ps(box.x1));
  const __m256 top = _mm256_max_ps(_mm256_loadu_ps(kept.y1 + i), _mm256_set1_ps(box.y1));
  const __m256 right = _mm256_min_ps(_mm256_loadu_ps(kept.x2 + i), _mm256_set1_ps(box.x2));
  const __m256 bottom = _mm256_min_ps(_mm256_loadu_ps(kept.y2 + i), _mm256_set1_ps(box.y2));
  const __m256 common = _mm256_mul_ps(_mm256_max_ps(_mm256_sub_ps(right, left), zero),
                                      _mm256_max_ps(_mm256_sub_ps(bottom, top), zero));
  const __m256 shares = _mm256_add_ps(_mm256_loadu_ps(kept.share + i), _mm256_set1_ps(share));
  return static_cast<std::uint32_t>(_mm256_movemask_ps(
      _mm256_cmp_ps(_mm256_mul_ps(common, _mm256_set1_ps(1.0f + threshold)), shares, _CMP_GT_OQ)));
}

inline std::uint32_t nms_suspects(const NmsKept& kept, int i, const math::Box& box, float share,
                                  float threshold) {
  std::uint32_t suspects = 0;
  for (int j = 0; j < kNmsBlock; j += 8) {
    suspects |= nms_suspects_8(kept, i + j, box, share, threshold) << j;
  }
  return suspects;
}

#else

inline std::uint32_t nms_suspects(const NmsKept& kept, int i, const math::Box& box, float share,
                                  float threshold) {
  std::uint32_t suspects = 0;
  for (int j = 0; j < kNmsBlock; ++j) {
    const int k = i + j;
    const math::Box other{kept.x1[k], kept.y1[k], kept.x2[k], kept.y2[k]};
    const bool is_one = math::may_suppress(other, kept.share[k], box, share, threshold);
    suspects |= (is_one ? 1u : 0u) << j;
  }
  return suspects;
}

#endif

int nms_next_suspects(const NmsKept& kept, int from, int count, const math::Box& box, float share,
                      float threshold, std::uint32_t* suspects) {
  for (int i = from; i < count; i += kNmsBlock) {
    *suspects = nms_suspects(kept, i, box, share, threshold);
    if (*suspects != 0) return i;
  }
  return count;
}
