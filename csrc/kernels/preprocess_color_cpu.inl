// YUV -> RGB in whole numbers of 32 bits. A coefficient k of 22 bits is 128 * upper + lower, so
// that k * x = upper * 128x + lower * x takes 16-bit factors only: one instruction adds two
// products.
#if defined(__AVX512VBMI__)

using Ints = __m512i;
constexpr int kInts = 16;

inline Ints ints(int value) {
  return _mm512_set1_epi32(value);
}

inline Ints add_products(Ints sum, Ints pairs, Ints factors) {
  return _mm512_dpwssd_epi32(sum, pairs, factors);
}

inline Ints shift_up(Ints pairs) {
  return _mm512_slli_epi16(pairs, 7);
}

inline Ints load_luma(const std::uint8_t* y) {
  return _mm512_cvtepu8_epi32(load_16(y));
}

inline Ints load_chroma(const std::uint8_t* uv) {
  return _mm512_sub_epi16(_mm512_cvtepu8_epi16(load_32(uv)), _mm512_set1_epi16(128));
}

inline Ints above(Ints luma, Ints black) {
  return _mm512_max_epi32(_mm512_sub_epi32(luma, black), _mm512_setzero_si512());
}

inline Ints with_upper(Ints luma) {
  return _mm512_or_si512(luma, _mm512_slli_epi32(luma, 23));
}

inline void store_bytes(std::uint8_t* to, Ints a, Ints b, Ints c, Ints d) {
  const Ints order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const Ints ab = _mm512_packs_epi32(_mm512_srai_epi32(a, 20), _mm512_srai_epi32(b, 20));
  const Ints cd = _mm512_packs_epi32(_mm512_srai_epi32(c, 20), _mm512_srai_epi32(d, 20));
  _mm512_storeu_si512(to, _mm512_permutexvar_epi32(order, _mm512_packus_epi16(ab, cd)));
}

#elif defined(__AVX2__)

using Ints = __m256i;
constexpr int kInts = 8;

inline Ints ints(int value) {
  return _mm256_set1_epi32(value);
}

inline Ints add_products(Ints sum, Ints pairs, Ints factors) {
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, factors));
}

inline Ints shift_up(Ints pairs) {
  return _mm256_slli_epi16(pairs, 7);
}

inline Ints load_luma(const std::uint8_t* y) {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(y)));
}

inline Ints load_chroma(const std::uint8_t* uv) {
  return _mm256_sub_epi16(_mm256_cvtepu8_epi16(load_16(uv)), _mm256_set1_epi16(128));
}

inline Ints above(Ints luma, Ints black) {
  return _mm256_max_epi32(_mm256_sub_epi32(luma, black), _mm256_setzero_si256());
}

inline Ints with_upper(Ints luma) {
  return _mm256_or_si256(luma, _mm256_slli_epi32(luma, 23));
}

inline void store_bytes(std::uint8_t* to, Ints a, Ints b, Ints c, Ints d) {
  const Ints order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
  const Ints ab = _mm256_packs_epi32(_mm256_srai_epi32(a, 20), _mm256_srai_epi32(b, 20));
  const Ints cd = _mm256_packs_epi32(_mm256_srai_epi32(c, 20), _mm256_srai_epi32(d, 20));
  store_32(to, _mm256_permutevar8x32_epi32(_mm256_packus_epi16(ab, cd), order));
}

#endif

#if defined(__AVX2__)

inline int lower_factors(int low, int high) {
  return (low & 127) | (high & 127) << 16;
}

inline int upper_factors(int low, int high) {
  return ((low >> 7) & 0xffff) | (high >> 7) * 65536;
}

struct RgbInts {
  Ints r, g, b;
};

void yuv_to_rgb_line(const YuvToRgb& k, const std::uint8_t* y, const std::uint8_t* uv, int count,
                     const RowAhead& ahead, std::uint8_t* r, std::uint8_t* g, std::uint8_t* b) {
  const Ints black = ints(k.y_offset), half = ints(1 << 19);
  const Ints luma = ints((k.y & 127) | (k.y >> 7) * 65536);
  const Ints red_lower = ints(lower_factors(0, k.v_to_r));
  const Ints red_upper = ints(upper_factors(0, k.v_to_r));
  const Ints green_lower = ints(lower_factors(k.u_to_g, k.v_to_g));
  const Ints green_upper = ints(upper_factors(k.u_to_g, k.v_to_g));
  const Ints blue_lower = ints(lower_factors(k.u_to_b, 0));
  const Ints blue_upper = ints(upper_factors(k.u_to_b, 0));
  const auto convert = [=](const std::uint8_t* luma_of, const std::uint8_t* chroma_of) {
    const Ints chroma = load_chroma(chroma_of), upper = shift_up(chroma);
    const Ints base = add_products(half, with_upper(above(load_luma(luma_of), black)), luma);
    return RgbInts{add_products(add_products(base, chroma, red_lower), upper, red_upper),
                   add_products(add_products(base, chroma, green_lower), upper, green_upper),
                   add_products(add_products(base, chroma, blue_lower), upper, blue_upper)};
  };
  RowPieces pieces(ahead, count / (4 * kInts));
  for (int i = 0; i < count; i += 4 * kInts) {
    pieces.next();
    const RgbInts p0 = convert(y + i, uv + 2 * i);
    const RgbInts p1 = convert(y + i + kInts, uv + 2 * (i + kInts));
    const RgbInts p2 = convert(y + i + 2 * kInts, uv + 2 * (i + 2 * kInts));
    const RgbInts p3 = convert(y + i + 3 * kInts, uv + 2 * (i + 3 * kInts));
    store_bytes(r + i, p0.r, p1.r, p2.r, p3.r);
    store_bytes(g + i, p0.g, p1.g, p2.g, p3.g);
    store_bytes(b + i, p0.b, p1.b, p2.b, p3.b);
  }
}

#elif defined(EDGEDL_NEON)

// 8 whole numbers of 32 bits
struct Ints {
  int32x4_t low, high;
};

inline Ints ints(int16x8_t values) {
  return {vmovl_s16(vget_low_s16(values)), vmovl_high_s16(values)};
}

inline Ints add_products(Ints sum, Ints values, int factor) {
  return {vmlaq_n_s32(sum.low, values.low, factor), vmlaq_n_s32(sum.high, values.high, factor)};
}

// Their upper 12 bits as bytes, saturated
inline uint8x8_t upper_bytes(Ints values) {
  const int16x8_t low = vreinterpretq_s16_s32(values.low);
  return vqshrun_n_s16(vuzp2q_s16(low, vreinterpretq_s16_s32(values.high)), 4);
}

struct RgbBytes {
  uint8x8_t r, g, b;
};

inline RgbBytes yuv_to_rgb_bytes(const YuvToRgb& k, uint8x8_t above_black, uint8x8_t u_byte,
                                 uint8x8_t v_byte) {
  const uint8x8_t middle = vdup_n_u8(128);
  const int32x4_t half = vdupq_n_s32(1 << 19);
  const Ints base =
      add_products({half, half}, ints(vreinterpretq_s16_u16(vmovl_u8(above_black))), k.y);
  const Ints u = ints(vreinterpretq_s16_u16(vsubl_u8(u_byte, middle)));
  const Ints v = ints(vreinterpretq_s16_u16(vsubl_u8(v_byte, middle)));
  return {upper_bytes(add_products(base, v, k.v_to_r)),
          upper_bytes(add_products(add_products(base, v, k.v_to_g), u, k.u_to_g)),
          upper_bytes(add_products(base, u, k.u_to_b))};
}

void yuv_to_rgb_line(const YuvToRgb& k, const std::uint8_t* y, const std::uint8_t* uv, int count,
                     const RowAhead& ahead, std::uint8_t* r, std::uint8_t* g, std::uint8_t* b) {
  RowPieces(ahead, 1).next();
  const YuvToRgb own = k;  // a copy cannot change when an output is written
  const uint8x8_t black = vdup_n_u8(static_cast<std::uint8_t>(own.y_offset));
  for (int i = 0; i < count; i += 8) {
    const uint8x8x2_t chroma = vld2_u8(uv + 2 * i);
    const RgbBytes pixels =
        yuv_to_rgb_bytes(own, vqsub_u8(vld1_u8(y + i), black), chroma.val[0], chroma.val[1]);
    vst1_u8(r + i, pixels.r);
    vst1_u8(g + i, pixels.g);
    vst1_u8(b + i, pixels.b);
  }
}

#else

void yuv_to_rgb_line(const YuvToRgb& k, const std::uint8_t* y, const std::uint8_t* uv, int count,
                     const RowAhead& ahead, std::uint8_t* r, std::uint8_t* g, std::uint8_t* b) {
  RowPieces(ahead, 1).next();
  const YuvToRgb own = k;  // a copy cannot change when an output is written
  for (int i = 0; i < count; ++i) {
    const math::Rgb p = math::yuv_to_rgb(own, y[i], uv[2 * i], uv[2 * i + 1]);
    r[i] = static_cast<std::uint8_t>(p.r);
    g[i] = static_cast<std::uint8_t>(p.g);
    b[i] = static_cast<std::uint8_t>(p.b);
  }
}

#endif

void gray_line(const std::uint8_t* r, const std::uint8_t* g, const std::uint8_t* b, int count,
               std::uint8_t* gray) {
  for (int i = 0; i < count; ++i) {
    gray[i] = static_cast<std::uint8_t>(math::gray({r[i], g[i], b[i]}));
  }
}

#if defined(__AVX512VBMI__)

inline void store_pairs(std::uint8_t* out, const std::uint8_t* from, const PairChunk& chunk) {
  const __m512i place = _mm512_castsi256_si512(load_32(chunk.place));
  store_32(out, _mm512_castsi512_si256(_mm512_permutexvar_epi8(place, load_64(from))));
}

#elif defined(__AVX2__)

inline void store_pairs(std::uint8_t* out, const std::uint8_t* from, const PairChunk& chunk) {
  const auto pick = [&](int k) {
    const __m256i bytes = _mm256_broadcastsi128_si256(load_16(from + 16 * k));
    return _mm256_shuffle_epi8(bytes, load_32(chunk.piece[k]));
  };
  store_32(out,
           _mm256_or_si256(_mm256_or_si256(pick(0), pick(1)), _mm256_or_si256(pick(2), pick(3))));
}

#elif defined(EDGEDL_NEON)

inline void store_pairs(std::uint8_t* out, const std::uint8_t* from, const PairChunk& chunk) {
  const uint8x16x4_t bytes = {
      {vld1q_u8(from), vld1q_u8(from + 16), vld1q_u8(from + 32), vld1q_u8(from + 48)}};
  const uint8x16_t low = vld1q_u8(chunk.place), high = vld1q_u8(chunk.place + 16);
  vst1q_u8(out, vqtbl4q_u8(bytes, low));
  vst1q_u8(out + 16, vqtbl4q_u8(bytes, high));
}

#endif

void pick_pairs(const std::uint8_t* row, const PairTable& table, std::uint8_t* out) {
  int done = 0;
#if defined(__AVX2__) || defined(EDGEDL_NEON)
  const PairTable own = table;  // a copy cannot change when an output is written
  for (int i = 0; i < own.chunk_count; ++i) {
    const PairChunk& chunk = own.chunks[i];
    store_pairs(out + chunk.to, row + chunk.from, chunk);
  }
  if (own.chunk_count > 0) done = own.count;
#endif
  for (int i = done; i < table.count; ++i) memcpy(out + 2 * i, row + table.offset[i], 2);
}

void double_pairs(const std::uint8_t* from, int count, std::uint8_t* out) {
  for (int i = 0; i < count; ++i) {
    std::uint16_t pair;
    memcpy(&pair, from + 2 * i, sizeof pair);
    memcpy(out + 4 * i, &pair, sizeof pair);
    memcpy(out + 4 * i + 2, &pair, sizeof pair);
  }
}
