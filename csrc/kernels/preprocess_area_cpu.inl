// ---- 16 rows as 16 lanes ------------------------------------------------------------------------

// turned[16 * i + r] = rows[r][begin + i]
inline void turn_plainly(const std::uint8_t* const* rows, std::ptrdiff_t begin, std::ptrdiff_t end,
                         std::uint8_t* turned) {
  for (int r = 0; r < kAreaRows; ++r) {
    for (std::ptrdiff_t i = begin; i < end; ++i) turned[kAreaRows * (i - begin) + r] = rows[r][i];
  }
}

#if defined(__AVX2__) || defined(EDGEDL_NEON)

#if defined(__AVX2__)
using Bytes = __m256i;  // bytes of one row, later lanes of two columns, 16 bytes apart
constexpr int kTurned = 32;
inline Bytes load_bytes(const std::uint8_t* p) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
}
inline Bytes zip_low(Bytes a, Bytes b) {
  return _mm256_unpacklo_epi8(a, b);
}
inline Bytes zip_high(Bytes a, Bytes b) {
  return _mm256_unpackhi_epi8(a, b);
}
inline void store_column(Bytes v, int i, std::uint8_t* turned) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(turned + 16 * i), _mm256_castsi256_si128(v));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(turned + 16 * (16 + i)),
                   _mm256_extracti128_si256(v, 1));
}
#else
using Bytes = uint8x16_t;
constexpr int kTurned = 16;
inline Bytes load_bytes(const std::uint8_t* p) {
  return vld1q_u8(p);
}
inline Bytes zip_low(Bytes a, Bytes b) {
  return vzip1q_u8(a, b);
}
inline Bytes zip_high(Bytes a, Bytes b) {
  return vzip2q_u8(a, b);
}
inline void store_column(Bytes v, int i, std::uint8_t* turned) {
  vst1q_u8(turned + 16 * i, v);
}
#endif

// Row i meets row i + 8: four such rounds turn 16 rows of 16 bytes into their columns.
inline void zip_round(const Bytes* in, Bytes* out) {
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    out[2 * i] = zip_low(in[i], in[i + 8]);
    out[2 * i + 1] = zip_high(in[i], in[i + 8]);
  }
}

// Bytes begin..end - 1; those before `limit` may be read.
inline void turn(const std::uint8_t* const* rows, std::ptrdiff_t begin, std::ptrdiff_t end,
                 std::ptrdiff_t limit, std::uint8_t* turned) {
  std::ptrdiff_t i = begin;
  for (; i < end && i + kTurned <= limit; i += kTurned) {
    Bytes a[16];
    Bytes b[16];
#pragma GCC unroll 16
    for (int r = 0; r < 16; ++r) a[r] = load_bytes(rows[r] + i);
    zip_round(a, b);
    zip_round(b, a);
    zip_round(a, b);
    zip_round(b, a);
#pragma GCC unroll 16
    for (int r = 0; r < 16; ++r) store_column(a[r], r, turned + kAreaRows * (i - begin));
  }
  if (i < end) turn_plainly(rows, i, end, turned + kAreaRows * (i - begin));
}

#else

inline void turn(const std::uint8_t* const* rows, std::ptrdiff_t begin, std::ptrdiff_t end,
                 std::ptrdiff_t, std::uint8_t* turned) {
  turn_plainly(rows, begin, end, turned);
}

#endif

// ---- the mean of a cell in each of 16 rows ------------------------------------------------------

#if defined(__AVX512F__)

struct CellSum {
  __m512 v = _mm512_setzero_ps();
  void add(const std::uint8_t* bytes, float weight) {
    const __m128i packed = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bytes));
    // masked, because GCC 12 warns of its own unmasked ones
    const __m512i wide = _mm512_maskz_cvtepu8_epi32(0xffff, packed);
    const __m512 value = _mm512_maskz_cvtepi32_ps(0xffff, wide);
    v = _mm512_add_ps(v, _mm512_mul_ps(value, _mm512_set1_ps(weight)));
  }
  void store(float* dst) const { _mm512_storeu_ps(dst, v); }
};

#elif defined(__AVX2__)

struct CellSum {
  __m256 v[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
  void add(const std::uint8_t* bytes, float weight) {
    const __m256 w = _mm256_set1_ps(weight);
    for (int i = 0; i < 2; ++i) {
      const __m128i packed = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(bytes + 8 * i));
      const __m256 value = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(packed));
      v[i] = _mm256_add_ps(v[i], _mm256_mul_ps(value, w));
    }
  }
  void store(float* dst) const {
    _mm256_storeu_ps(dst, v[0]);
    _mm256_storeu_ps(dst + 8, v[1]);
  }
};

#elif defined(EDGEDL_NEON)

struct CellSum {
  float32x4_t v[4] = {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)};
  void add(const std::uint8_t* bytes, float weight) {
    const uint8x16_t packed = vld1q_u8(bytes);
    const uint16x8_t half[2] = {vmovl_u8(vget_low_u8(packed)), vmovl_u8(vget_high_u8(packed))};
    for (int i = 0; i < 2; ++i) {
      const float32x4_t low = vcvtq_f32_u32(vmovl_u16(vget_low_u16(half[i])));
      const float32x4_t high = vcvtq_f32_u32(vmovl_u16(vget_high_u16(half[i])));
      v[2 * i] = vaddq_f32(v[2 * i], vmulq_n_f32(low, weight));
      v[2 * i + 1] = vaddq_f32(v[2 * i + 1], vmulq_n_f32(high, weight));
    }
  }
  void store(float* dst) const {
    for (int i = 0; i < 4; ++i) vst1q_f32(dst + 4 * i, v[i]);
  }
};

#else

struct CellSum {
  float v[16] = {};
  void add(const std::uint8_t* bytes, float weight) {
    for (int r = 0; r < 16; ++r) {
      const float share = static_cast<float>(bytes[r]) * weight;
      v[r] = v[r] + share;
    }
  }
  void store(float* dst) const {
    for (int r = 0; r < 16; ++r) dst[r] = v[r];
  }
};

#endif

// `bytes` is the first pixel to add, the next one lies `next` bytes on.
template <int Step>
inline void cell_means(const math::AreaTaps& taps, const std::uint8_t* bytes, std::ptrdiff_t next,
                       const std::ptrdiff_t* of, float* means) {
  CellSum sum[Step];
  const auto add = [&](float weight) {
#pragma GCC unroll 3
    for (int c = 0; c < Step; ++c) sum[c].add(bytes + kAreaRows * of[c], weight);
    bytes += next;
  };
  add(taps.head);
  for (int k = 1; k < taps.count - 1; ++k) add(taps.inner);
  if (taps.count > 1) add(taps.tail);
#pragma GCC unroll 3
  for (int c = 0; c < Step; ++c) sum[c].store(means + c * kAreaCells * kAreaRows);
}

// ---- lanes as rows again ------------------------------------------------------------------------

// rows[r * step + x] = cells[16 * x + r] for kAreaCells cells
#if defined(__AVX2__)

inline __m256 two_cells(const float* cells) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(cells)),
                              _mm_loadu_ps(cells + 4 * kAreaRows), 1);
}

inline void turn_back(const float* cells, float* rows, std::ptrdiff_t step) {
  for (int x = 0; x < kAreaCells; x += 8) {
    for (int r = 0; r < kAreaRows; r += 4) {
      const float* from = cells + kAreaRows * x + r;
      float* to = rows + r * step + x;
      const __m256 a = two_cells(from);
      const __m256 b = two_cells(from + kAreaRows);
      const __m256 c = two_cells(from + 2 * kAreaRows);
      const __m256 d = two_cells(from + 3 * kAreaRows);
      const __m256 ac_low = _mm256_unpacklo_ps(a, c);
      const __m256 bd_low = _mm256_unpacklo_ps(b, d);
      const __m256 ac_high = _mm256_unpackhi_ps(a, c);
      const __m256 bd_high = _mm256_unpackhi_ps(b, d);
      _mm256_storeu_ps(to, _mm256_unpacklo_ps(ac_low, bd_low));
      _mm256_storeu_ps(to + step, _mm256_unpackhi_ps(ac_low, bd_low));
      _mm256_storeu_ps(to + 2 * step, _mm256_unpacklo_ps(ac_high, bd_high));
      _mm256_storeu_ps(to + 3 * step, _mm256_unpackhi_ps(ac_high, bd_high));
    }
  }
}

#elif defined(EDGEDL_NEON)

inline void turn_back(const float* cells, float* rows, std::ptrdiff_t step) {
  for (int x = 0; x < kAreaCells; x += 4) {
    for (int r = 0; r < kAreaRows; r += 4) {
      const float* from = cells + kAreaRows * x + r;
      float* to = rows + r * step + x;
      const float32x4_t a = vld1q_f32(from);
      const float32x4_t b = vld1q_f32(from + kAreaRows);
      const float32x4_t c = vld1q_f32(from + 2 * kAreaRows);
      const float32x4_t d = vld1q_f32(from + 3 * kAreaRows);
      const float32x4x2_t ac = vzipq_f32(a, c);
      const float32x4x2_t bd = vzipq_f32(b, d);
      vst1q_f32(to, vzip1q_f32(ac.val[0], bd.val[0]));
      vst1q_f32(to + step, vzip2q_f32(ac.val[0], bd.val[0]));
      vst1q_f32(to + 2 * step, vzip1q_f32(ac.val[1], bd.val[1]));
      vst1q_f32(to + 3 * step, vzip2q_f32(ac.val[1], bd.val[1]));
    }
  }
}

#else

inline void turn_back(const float* cells, float* rows, std::ptrdiff_t step) {
  for (int r = 0; r < kAreaRows; ++r) {
    for (int x = 0; x < kAreaCells; ++x) rows[r * step + x] = cells[kAreaRows * x + r];
  }
}

#endif

// ---- what a target offers -----------------------------------------------------------------------

// Cells x..end - 1 of as many channels as a pixel has bytes, beginning with channel
// `first_channel`.
template <int Step>
inline void area_across_cells(const AreaAcross& job, const std::uint8_t* const* rows,
                              const std::ptrdiff_t* of, int x, int first_channel) {
  float cells[Step * kAreaCells * kAreaRows];
  const int end = x + kAreaCells < job.width ? x + kAreaCells : job.width;
  const std::ptrdiff_t begin = std::ptrdiff_t{job.taps[x].first} * Step;
  const std::ptrdiff_t stop =
      std::ptrdiff_t{job.taps[end - 1].first + job.taps[end - 1].count} * Step;
  const std::ptrdiff_t limit = std::ptrdiff_t{job.source_width} * Step;
  turn(rows, begin, stop, limit, job.turned);
  std::ptrdiff_t asked = stop;  // memory is asked for what comes next while these are averaged
  for (int i = x; i < end; ++i) {
    const std::ptrdiff_t at = std::ptrdiff_t{job.taps[i].first} * Step;
    for (; asked < at + stop - begin && asked < limit; asked += 64) {
      for (int r = 0; r < kAreaRows; ++r) __builtin_prefetch(rows[r] + asked);
    }
    const std::ptrdiff_t skipped = job.backwards ? (job.taps[i].count - 1) * Step : 0;
    cell_means<Step>(job.taps[i], job.turned + kAreaRows * (at - begin + skipped),
                     job.backwards ? -kAreaRows * Step : kAreaRows * Step, of,
                     cells + kAreaRows * (i - x));
  }
  for (int i = end; i < x + kAreaCells; ++i) {
    for (int c = 0; c < Step; ++c) CellSum().store(cells + kAreaRows * (c * kAreaCells + i - x));
  }
  const std::ptrdiff_t row_step = std::ptrdiff_t{job.channels.count} * job.pitch;
  for (int c = 0; c < Step; ++c) {
    turn_back(cells + c * kAreaCells * kAreaRows,
              job.means + std::ptrdiff_t{first_channel + c} * job.pitch + x, row_step);
  }
}

void area_across_rows(const AreaAcross& job) {
  if (job.channels.step == 3) {
    for (int x = 0; x < job.width; x += kAreaCells) {
      area_across_cells<3>(job, job.rows, job.channels.of, x, 0);
    }
    return;
  }
  const std::ptrdiff_t no_offset[1] = {0};
  for (int c = 0; c < job.channels.count; ++c) {
    const std::uint8_t* rows[kAreaRows];
    for (int r = 0; r < kAreaRows; ++r) rows[r] = job.rows[r] + job.channels.of[c];
    for (int x = 0; x < job.width; x += kAreaCells) {
      area_across_cells<1>(job, rows, no_offset, x, c);
    }
  }
}

void area_down(const float* means, float weight, float* sum, int count) {
  for (int i = 0; i < count; ++i) {
    const float share = means[i] * weight;
    sum[i] = sum[i] + share;
  }
}

void area_round(const float* sum, int count, std::uint8_t* line) {
  for (int i = 0; i < count; ++i) line[i] = static_cast<std::uint8_t>(math::area_round(sum[i]));
}

void box_down(const float* sums, double* sum, int count) {
  for (int i = 0; i < count; ++i) sum[i] += static_cast<double>(sums[i]);
}

void box_round(const double* sum, int box_width, int box_height, int count, std::uint8_t* line) {
  for (int i = 0; i < count; ++i) {
    const float total = static_cast<float>(sum[i]);
    line[i] = static_cast<std::uint8_t>(math::box_mean(total, box_width, box_height));
  }
}
