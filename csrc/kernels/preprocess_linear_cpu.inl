#if defined(__AVX2__)

inline __m128i load_two(const std::uint8_t* a, const std::uint8_t* b) {
  const __m128i low = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(a));
  return _mm_castps_si128(_mm_loadh_pi(_mm_castsi128_ps(low), reinterpret_cast<const __m64*>(b)));
}

// Three channels, which `order` picks out of 4 bytes each of 4 pixels, of 16 pixels.
inline void store_planes(const __m128i* four, __m128i order, std::uint8_t* line, int pitch) {
  const __m128i a = _mm_shuffle_epi8(four[0], order), b = _mm_shuffle_epi8(four[1], order);
  const __m128i c = _mm_shuffle_epi8(four[2], order), d = _mm_shuffle_epi8(four[3], order);
  const __m128i ab = _mm_unpacklo_epi32(a, b), cd = _mm_unpacklo_epi32(c, d);
  store_16(line, _mm_unpacklo_epi64(ab, cd));
  store_16(line + pitch, _mm_unpackhi_epi64(ab, cd));
  store_16(line + 2 * pitch,
           _mm_unpacklo_epi64(_mm_unpackhi_epi32(a, b), _mm_unpackhi_epi32(c, d)));
}

// The order in which store_planes takes the bytes of pixels that begin `apart` bytes after another.
inline __m128i order_of_planes(const Channels& channels, int apart) {
  std::uint8_t place[16] = {};
  for (int c = 0; c < 3; ++c) {
    for (int i = 0; i < 4; ++i) {
      place[4 * c + i] = static_cast<std::uint8_t>(apart * i + channels.of[c]);
    }
  }
  return load_16(place);
}

inline int load_int(const std::uint8_t* from) {
  int value;
  memcpy(&value, from, sizeof value);
  return value;
}

#endif

// kPlane pixels of each channel as vectors of bytes; load_colors gives the first byte of each
// pixel, then the second, then the third.
#if defined(__AVX512VBMI__)

using Plane = __m512i;
constexpr int kPlane = 64;

inline Plane load_plane(const std::uint8_t* from) {
  return load_64(from);
}

inline void store_plane(std::uint8_t* to, Plane bytes) {
  store_64(to, bytes);
}

struct EveryThird {
  alignas(64) std::uint8_t at[kPlane];

  constexpr EveryThird() : at() {
    for (int i = 0; i < kPlane; ++i) at[i] = static_cast<std::uint8_t>(3 * i);
  }
};
constexpr EveryThird kEveryThird;

inline void load_colors(const std::uint8_t* pixels, Plane* planes) {
  const Plane a = load_64(pixels), b = load_64(pixels + 64), c = load_64(pixels + 128);
  for (int i = 0; i < 3; ++i) {
    const Plane first = _mm512_set1_epi8(static_cast<char>(i));
    const Plane at = _mm512_add_epi8(_mm512_load_si512(kEveryThird.at), first);
    const __mmask64 in_c = _mm512_movepi8_mask(at);  // 128 and up
    planes[i] = _mm512_mask_permutexvar_epi8(_mm512_permutex2var_epi8(a, at, b), in_c, at, c);
  }
}

// 0..255 -> 0..32640, as many as two vectors hold
inline void store_each_pixel(std::int16_t* out, Plane bytes) {
  const __m256i low = _mm512_castsi512_si256(bytes), high = _mm512_extracti64x4_epi64(bytes, 1);
  store_64(out, _mm512_slli_epi16(_mm512_cvtepu8_epi16(low), 7));
  store_64(out + 32, _mm512_slli_epi16(_mm512_cvtepu8_epi16(high), 7));
}

inline void store_each_pair(std::int16_t* out, Plane bytes) {
  store_64(out, _mm512_slli_epi16(_mm512_maddubs_epi16(bytes, _mm512_set1_epi8(1)), 6));
}

#elif defined(__AVX2__)

using Plane = __m256i;
constexpr int kPlane = 32;

inline Plane load_plane(const std::uint8_t* from) {
  return load_32(from);
}

inline void store_plane(std::uint8_t* to, Plane bytes) {
  store_32(to, bytes);
}

// Where the bytes of each third are in three vectors of 16: no place is used twice.
struct EveryThird {
  alignas(16) std::uint8_t at[3][16];
  alignas(16) std::uint8_t in_b[3][16];
  alignas(16) std::uint8_t in_c[3][16];

  constexpr EveryThird() : at(), in_b(), in_c() {
    for (int first = 0; first < 3; ++first) {
      for (int i = 0; i < 16; ++i) {
        const int byte = 3 * i + first;
        at[first][i] = static_cast<std::uint8_t>(byte % 16);
        in_b[first][byte % 16] = byte / 16 == 1 ? 255 : 0;
        in_c[first][byte % 16] = byte / 16 == 2 ? 255 : 0;
      }
    }
  }
};
constexpr EveryThird kEveryThird;

inline void load_colors(const std::uint8_t* pixels, Plane* planes) {
  const Plane a = join(load_16(pixels), load_16(pixels + 48));
  const Plane b = join(load_16(pixels + 16), load_16(pixels + 64));
  const Plane c = join(load_16(pixels + 32), load_16(pixels + 80));
  const auto twice = [](const std::uint8_t* from) {
    return _mm256_broadcastsi128_si256(load_16(from));
  };
  for (int i = 0; i < 3; ++i) {
    const Plane ab = _mm256_blendv_epi8(a, b, twice(kEveryThird.in_b[i]));
    const Plane abc = _mm256_blendv_epi8(ab, c, twice(kEveryThird.in_c[i]));
    planes[i] = _mm256_shuffle_epi8(abc, twice(kEveryThird.at[i]));
  }
}

inline void store_each_pixel(std::int16_t* out, Plane bytes) {
  const __m128i low = _mm256_castsi256_si128(bytes), high = _mm256_extracti128_si256(bytes, 1);
  store_32(out, _mm256_slli_epi16(_mm256_cvtepu8_epi16(low), 7));
  store_32(out + 16, _mm256_slli_epi16(_mm256_cvtepu8_epi16(high), 7));
}

inline void store_each_pair(std::int16_t* out, Plane bytes) {
  store_32(out, _mm256_slli_epi16(_mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1)), 6));
}

#elif defined(EDGEDL_NEON)

using Plane = uint8x16_t;
constexpr int kPlane = 16;

inline Plane load_plane(const std::uint8_t* from) {
  return vld1q_u8(from);
}

inline void store_plane(std::uint8_t* to, Plane bytes) {
  vst1q_u8(to, bytes);
}

inline void load_colors(const std::uint8_t* pixels, Plane* planes) {
  const uint8x16x3_t colors = vld3q_u8(pixels);
  for (int i = 0; i < 3; ++i) planes[i] = colors.val[i];
}

// 0..255 -> 0..32640
inline int16x8_t times_128(uint8x8_t bytes) {
  return vreinterpretq_s16_u16(vshll_n_u8(bytes, 7));
}

inline int16x8_t high_times_128(uint8x16_t bytes) {
  return vreinterpretq_s16_u16(vshll_high_n_u8(bytes, 7));
}

inline void store_each_pixel(std::int16_t* out, Plane bytes) {
  vst1q_s16(out, times_128(vget_low_u8(bytes)));
  vst1q_s16(out + 8, high_times_128(bytes));
}

inline void store_each_pair(std::int16_t* out, Plane bytes) {
  vst1q_s16(out, vreinterpretq_s16_u16(vshlq_n_u16(vpaddlq_u8(bytes), 6)));
}

#endif

#if defined(__AVX2__) || defined(EDGEDL_NEON)

// use(channel, x, kPlane pixels of it from x on) until all of `count` pixels were used, the last
// ones perhaps twice; false if there are too few.
template <class Use>
inline bool for_all_planes(const std::uint8_t* row, const Channels& channels, int count,
                           const Use& use) {
  if (count < kPlane) return false;
  const Channels from = channels;  // a copy cannot change when an output is written
  // of each byte of a pixel: r g b or b g r
  const int channel[3] = {static_cast<int>(from.of[0]), static_cast<int>(from.of[1]),
                          static_cast<int>(from.of[2])};
  for (int i = 0; i < count; i += kPlane) {
    const int x = i + kPlane <= count ? i : count - kPlane;
    if (from.step == 3) {
      Plane planes[3];
      load_colors(row + 3 * x, planes);
      for (int c = 0; c < 3; ++c) use(channel[c], x, planes[c]);
    } else {
      for (int c = 0; c < from.count; ++c) use(c, x, load_plane(row + from.of[c] + x));
    }
  }
  return true;
}

inline bool across_regular(const std::uint8_t* row, const Channels& channels,
                           const LinearTable& table, std::int16_t* out) {
  const int pitch = table.pitch;
  if (table.step == LinearTable::kEachPixel) {
    return for_all_planes(row, channels, table.count, [=](int c, int x, Plane bytes) {
      store_each_pixel(out + c * pitch + x, bytes);
    });
  }
  if (table.step == LinearTable::kEachPair) {
    return for_all_planes(row, channels, 2 * table.count, [=](int c, int x, Plane bytes) {
      store_each_pair(out + c * pitch + x / 2, bytes);
    });
  }
  return false;
}

#else

inline bool across_regular(const std::uint8_t*, const Channels&, const LinearTable&,
                           std::int16_t*) {
  return false;
}

#endif

#if defined(__AVX512VBMI__)

// 8 bytes at each of 8 offsets
inline __m512i load_eight(const std::uint8_t* row, const std::int32_t* offset) {
  const __m256i low =
      join(load_two(row + offset[0], row + offset[1]), load_two(row + offset[2], row + offset[3]));
  const __m256i high =
      join(load_two(row + offset[4], row + offset[5]), load_two(row + offset[6], row + offset[7]));
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

// The bytes at these places of two vectors, which come as the upper halves of 16-bit numbers, times
// 128. `shift` is added to the places.
inline __m512i pick_bytes(__m512i low, __m512i high, const std::uint8_t* place, int shift) {
  constexpr __mmask64 kUpper = 0xaaaaaaaaaaaaaaaa;
  const __m512i at = _mm512_add_epi8(load_64(place), _mm512_set1_epi8(static_cast<char>(shift)));
  return _mm512_srli_epi16(_mm512_maskz_permutex2var_epi8(kUpper, low, at, high), 1);
}

// One block of the channels that begin at these shifts; see LinearBlock.
inline void across_block(const std::uint8_t* row, const LinearBlock& block, const int* shift,
                         int count, std::int16_t* out, int pitch) {
  if (block.kind == LinearBlock::kTogether) {
    const __m512i weight = load_64(block.weight);
    const __m512i low = load_64(row + block.from[0]), high = load_64(row + block.from[1]);
    for (int c = 0; c < count; ++c) {
      const __m512i near = pick_bytes(low, high, block.place, shift[c]);
      const __m512i far = pick_bytes(low, high, block.place + 64, shift[c]);
      const __m512i step = _mm512_mulhi_epi16(_mm512_sub_epi16(near, far), weight);
      store_64(out + c * pitch, _mm512_add_epi16(near, step));
    }
    return;
  }
  for (int half = 0; half < 2; ++half) {
    const __m256i weight = load_32(block.weight + 16 * half);
    const bool apart = block.kind == LinearBlock::kApart;
    const std::int32_t* from = block.from + (apart ? 16 : 2) * half;
    const __m512i low = apart ? load_eight(row, from) : load_64(row + from[0]);
    const __m512i high = apart ? load_eight(row, from + 8) : load_64(row + from[1]);
    for (int c = 0; c < count; ++c) {
      const __m512i both = pick_bytes(low, high, block.place + 64 * half, shift[c]);
      const __m256i near = _mm512_castsi512_si256(both);
      const __m256i far = _mm512_extracti64x4_epi64(both, 1);
      const __m256i step = _mm256_mulhi_epi16(_mm256_sub_epi16(near, far), weight);
      store_32(out + c * pitch + 16 * half, _mm256_add_epi16(near, step));
    }
  }
}

inline int across_vectors(const std::uint8_t* row, const std::uint8_t* ahead,
                          const Channels& channels, const LinearTable& table, std::int16_t* out) {
  if (table.blocks == nullptr) return 0;
  constexpr int kPixels = LinearBlock::kPixels;
  const int none = 0;
  const int shift[3] = {static_cast<int>(channels.of[0]), static_cast<int>(channels.of[1]),
                        static_cast<int>(channels.of[2])};
  int asked = 0;
  for (int x = 0; x < table.count; x += kPixels) {
    const LinearBlock& block = table.blocks[x / kPixels];
    asked = prefetch_until(ahead, asked, table.offset[x + kPixels - 1]);
    if (channels.step == 3) {
      across_block(row, block, shift, 3, out + x, table.pitch);
    } else {
      for (int c = 0; c < channels.count; ++c) {
        across_block(row + channels.of[c], block, &none, 1, out + c * table.pitch + x, 0);
      }
    }
  }
  return table.count;
}

#elif defined(__AVX2__)

// 8 bytes each of pixels a, b in the lower half and a + 8, b + 8 in the upper one. At the end of a
// row they are read `Back` bytes earlier, so that nothing behind it is.
template <int Back>
inline __m256i load_four(const std::uint8_t* row, const std::int32_t* offset, int a, int b) {
  row -= Back;
  const __m256i four = join(load_two(row + offset[a], row + offset[b]),
                            load_two(row + offset[a + 8], row + offset[b + 8]));
  return _mm256_srli_epi64(four, 8 * Back);
}

// Picks the neighbours, `step` bytes apart, of two pixels of 8 bytes each as 16-bit numbers: of the
// channel `low` to the low half of each lane, of `high` to the high one.
inline __m256i neighbours(int step, std::ptrdiff_t low, std::ptrdiff_t high) {
  const __m128i bytes = _mm_setr_epi8(0, -1, 0, -1, 8, -1, 8, -1, 0, -1, 0, -1, 8, -1, 8, -1);
  const __m128i second = _mm_set1_epi32(step << 16);
  const __m128i channel = _mm_unpacklo_epi64(_mm_set1_epi16(static_cast<short>(low)),
                                             _mm_set1_epi16(static_cast<short>(high)));
  return _mm256_broadcastsi128_si256(_mm_add_epi8(_mm_add_epi8(bytes, second), channel));
}

inline __m256i weigh(__m256i taps, __m256i weights) {
  return _mm256_srai_epi32(_mm256_madd_epi16(taps, weights), 4);
}

// 16 pixels in an order that unpacking and packing undo
template <int Back>
inline void across_colors(const std::uint8_t* row, const std::int32_t* offset,
                          const std::uint32_t* weights, __m256i two, __m256i one, std::int16_t* out,
                          int pitch) {
  const __m256i even = join(load_16(weights), load_16(weights + 8));
  const __m256i odd = join(load_16(weights + 4), load_16(weights + 12));
  const __m256i a = load_four<Back>(row, offset, 0, 1), b = load_four<Back>(row, offset, 2, 3);
  const __m256i c = load_four<Back>(row, offset, 4, 5), d = load_four<Back>(row, offset, 6, 7);
  const __m256i a2 = _mm256_shuffle_epi8(a, two), b2 = _mm256_shuffle_epi8(b, two);
  const __m256i c2 = _mm256_shuffle_epi8(c, two), d2 = _mm256_shuffle_epi8(d, two);
  const __m256i ab =
      _mm256_unpacklo_epi64(_mm256_shuffle_epi8(a, one), _mm256_shuffle_epi8(b, one));
  const __m256i cd =
      _mm256_unpacklo_epi64(_mm256_shuffle_epi8(c, one), _mm256_shuffle_epi8(d, one));
  store_32(out, _mm256_packs_epi32(weigh(_mm256_unpacklo_epi64(a2, b2), even),
                                   weigh(_mm256_unpacklo_epi64(c2, d2), odd)));
  store_32(out + pitch, _mm256_packs_epi32(weigh(_mm256_unpackhi_epi64(a2, b2), even),
                                           weigh(_mm256_unpackhi_epi64(c2, d2), odd)));
  store_32(out + 2 * pitch, _mm256_packs_epi32(weigh(ab, even), weigh(cd, odd)));
}

template <int Back>
inline void across_plane(const std::uint8_t* plane, const std::int32_t* offset,
                         const std::uint32_t* weights, __m256i one, std::int16_t* out) {
  const auto pair = [=](int i) {
    return _mm256_unpacklo_epi64(
        _mm256_shuffle_epi8(load_four<Back>(plane, offset, i, i + 1), one),
        _mm256_shuffle_epi8(load_four<Back>(plane, offset, i + 2, i + 3), one));
  };
  const __m256i even = join(load_16(weights), load_16(weights + 8));
  const __m256i odd = join(load_16(weights + 4), load_16(weights + 12));
  store_32(out, _mm256_packs_epi32(weigh(pair(0), even), weigh(pair(4), odd)));
}

inline void across_pairs(const std::uint8_t* pairs, const std::uint32_t* weights,
                         std::int16_t* out) {
  const __m256i low = weigh(_mm256_cvtepu8_epi16(load_16(pairs)), load_32(weights));
  const __m256i high = weigh(_mm256_cvtepu8_epi16(load_16(pairs + 16)), load_32(weights + 8));
  store_32(out, _mm256_permute4x64_epi64(_mm256_packs_epi32(low, high), 0xd8));
}

// Returns how many pixels it made: those at the end of a narrow row are left.
inline int across_vectors(const std::uint8_t* row, const std::uint8_t* ahead,
                          const Channels& channels, const LinearTable& table, std::int16_t* out) {
  const bool colors = channels.step == 3;
  const int step = colors ? 3 : 1;
  const __m256i two = neighbours(step, channels.of[0], channels.of[1]);
  const std::ptrdiff_t third = colors ? channels.of[2] : 0;
  const __m256i one = neighbours(step, third, third);
  const int back = colors ? 2 : 6;
  int x = 0;
  for (; table.is_paired && x < table.count; x += 16) {
    for (int c = 0; c < channels.count; ++c) {
      across_pairs(row + channels.of[c] + 2 * x, table.weights + x, out + c * table.pitch + x);
    }
  }
  int asked = 0;
  for (; x < table.count; x += 16) {
    asked = prefetch_until(ahead, asked, table.offset[x + 15]);
    const std::int32_t* offset = table.offset + x;
    const std::uint32_t* weights = table.weights + x;
    const bool inside = offset[15] + 8 <= table.bytes;
    if (!inside && (offset[0] < back || table.next == 0)) break;
    if (colors && inside) {
      across_colors<0>(row, offset, weights, two, one, out + x, table.pitch);
    } else if (colors) {
      across_colors<2>(row, offset, weights, two, one, out + x, table.pitch);
    }
    for (int c = 0; c < channels.count && !colors; ++c) {
      const std::uint8_t* plane = row + channels.of[c];
      if (inside) across_plane<0>(plane, offset, weights, one, out + c * table.pitch + x);
      if (!inside) across_plane<6>(plane, offset, weights, one, out + c * table.pitch + x);
    }
  }
  return x;
}

#elif defined(EDGEDL_NEON)

// -16 times the second neighbours' weights
inline int16x8_t load_weights(const std::uint32_t* weights) {
  const uint16x8_t low = vreinterpretq_u16_u32(vld1q_u32(weights));
  const uint16x8_t high = vreinterpretq_u16_u32(vld1q_u32(weights + 4));
  return vmulq_n_s16(vreinterpretq_s16_u16(vuzp2q_u16(low, high)), -16);
}

// Of neighbours p and q, both times 128, with weights that add up to 2048:
//   (p * weight_p + q * weight_q) >> 4 = 128 p + ((128 (p - q) * -16 weight_q) >> 15)
inline int16x8_t between(int16x8_t p, int16x8_t q, int16x8_t weight) {
  return vaddq_s16(p, vqdmulhq_s16(vsubq_s16(p, q), weight));
}

// Bytes of 8 pixels: byte 2i of each, then byte 2i + 1 of each. Eight bytes of a pixel are read; at
// the end of a row they begin `Back` bytes earlier, so that nothing behind it is.
template <int Back>
inline void load_columns(const std::uint8_t* row, const std::int32_t* offset, uint8x16_t* columns) {
  uint8x16_t pixel[8];
  for (int i = 0; i < 8; ++i) {
    uint64x1_t bytes = vreinterpret_u64_u8(vld1_u8(row + offset[i] - Back));
    if constexpr (Back > 0) bytes = vshr_n_u64(bytes, 8 * Back);
    pixel[i] = vcombine_u8(vreinterpret_u8_u64(bytes), vcreate_u8(0));
  }
  const uint8x16_t a = vzip1q_u8(pixel[0], pixel[4]), b = vzip1q_u8(pixel[1], pixel[5]);
  const uint8x16_t c = vzip1q_u8(pixel[2], pixel[6]), d = vzip1q_u8(pixel[3], pixel[7]);
  const uint8x16_t even = vzip1q_u8(a, c), odd = vzip1q_u8(b, d);
  columns[0] = vzip1q_u8(even, odd);
  columns[1] = vzip2q_u8(even, odd);
  columns[2] = vzip1q_u8(vzip2q_u8(a, c), vzip2q_u8(b, d));
}

template <int Back>
inline void across_colors(const std::uint8_t* row, const std::int32_t* offset, int16x8_t weights,
                          std::int16_t* first, std::int16_t* second, std::int16_t* third) {
  uint8x16_t bytes[3];  // of a pixel and the next one
  load_columns<Back>(row, offset, bytes);
  const int16x8_t p0 = times_128(vget_low_u8(bytes[0])), p1 = high_times_128(bytes[0]);
  const int16x8_t p2 = times_128(vget_low_u8(bytes[1])), q0 = high_times_128(bytes[1]);
  const int16x8_t q1 = times_128(vget_low_u8(bytes[2])), q2 = high_times_128(bytes[2]);
  vst1q_s16(first, between(p0, q0, weights));
  vst1q_s16(second, between(p1, q1, weights));
  vst1q_s16(third, between(p2, q2, weights));
}

inline void across_plane(const std::uint8_t* plane, const std::int32_t* offset, int16x8_t weights,
                         std::int16_t* out) {
  std::uint16_t pair[8];
  for (int i = 0; i < 8; ++i) memcpy(&pair[i], plane + offset[i], sizeof pair[i]);
  const uint16x8_t pairs = {pair[0], pair[1], pair[2], pair[3], pair[4], pair[5], pair[6], pair[7]};
  const int16x8_t near = times_128(vmovn_u16(pairs)), far = times_128(vshrn_n_u16(pairs, 8));
  vst1q_s16(out, between(near, far, weights));
}

// Where 8 pixels' neighbours are in a window of kWindow bytes: every first one, then every second.
constexpr int kWindow = 32;

inline uint8x16_t places_in_window(const std::int32_t* offset, int window) {
  const int32x4_t begin = vdupq_n_s32(window);
  const int32x4_t low = vsubq_s32(vld1q_s32(offset), begin);
  const int32x4_t high = vsubq_s32(vld1q_s32(offset + 4), begin);
  const uint8x8_t first =
      vmovn_u16(vuzp1q_u16(vreinterpretq_u16_s32(low), vreinterpretq_u16_s32(high)));
  return vcombine_u8(first, vadd_u8(first, vdup_n_u8(1)));
}

inline void across_window(const std::uint8_t* window, uint8x16_t places, int16x8_t weights,
                          std::int16_t* out) {
  const uint8x16x2_t bytes = {{vld1q_u8(window), vld1q_u8(window + 16)}};
  const uint8x16_t both = vqtbl2q_u8(bytes, places);
  vst1q_s16(out, between(times_128(vget_low_u8(both)), high_times_128(both), weights));
}

inline void across_pairs(const std::uint8_t* pairs, int16x8_t weights, std::int16_t* out) {
  const uint8x8x2_t both = vld2_u8(pairs);
  vst1q_s16(out, between(times_128(both.val[0]), times_128(both.val[1]), weights));
}

inline int all_across_colors(const std::uint8_t* row, const std::ptrdiff_t* of,
                             const LinearTable& table, std::int16_t* out) {
  std::int16_t* const first = out + of[0] * table.pitch;  // bytes, in any order of channels
  std::int16_t* const second = out + of[1] * table.pitch;
  std::int16_t* const third = out + of[2] * table.pitch;
  int x = 0;
  for (; x < table.count; x += 8) {
    const std::int32_t* offset = table.offset + x;
    const int16x8_t weights = load_weights(table.weights + x);
    if (offset[7] + 8 <= table.bytes) {
      across_colors<0>(row, offset, weights, first + x, second + x, third + x);
    } else if (offset[0] >= 2) {
      across_colors<2>(row, offset, weights, first + x, second + x, third + x);
    } else {
      break;
    }
  }
  return x;
}

inline int all_across_planes(const std::uint8_t* row, const Channels& channels,
                             const LinearTable& table, std::int16_t* out) {
  const int last_window = table.bytes - kWindow;
  int x = 0;
  const auto for_each = [&](const auto& across) {
    const int16x8_t weights = load_weights(table.weights + x);
    for (int c = 0; c < channels.count; ++c) {
      across(row + channels.of[c], weights, out + c * table.pitch + x);
    }
  };
  for (; table.is_paired && x < table.count; x += 8) {
    for_each([=](const std::uint8_t* plane, int16x8_t weights, std::int16_t* to) {
      across_pairs(plane + 2 * x, weights, to);
    });
  }
  for (; x < table.count; x += 8) {
    const std::int32_t* offset = table.offset + x;
    const int window = offset[0] < last_window ? offset[0] : last_window;
    if (window >= 0 && offset[7] + 2 - window <= kWindow) {
      const uint8x16_t places = places_in_window(offset, window);
      for_each([=](const std::uint8_t* plane, int16x8_t weights, std::int16_t* to) {
        across_window(plane + window, places, weights, to);
      });
    } else {
      for_each([=](const std::uint8_t* plane, int16x8_t weights, std::int16_t* to) {
        across_plane(plane, offset, weights, to);
      });
    }
  }
  return x;
}

// Returns how many pixels it made: those at the end of a narrow row are left.
inline int across_vectors(const std::uint8_t* row, const std::uint8_t* ahead,
                          const Channels& channels, const LinearTable& table, std::int16_t* out) {
  prefetch_until(ahead, 0, table.bytes);
  if (!table.is_exact || table.next == 0) return 0;
  const Channels from = channels;  // copies cannot change when an output is written
  const LinearTable own = table;
  if (from.step == 3) return all_across_colors(row, from.of, own, out);
  return all_across_planes(row, from, own, out);
}

#else

inline int across_vectors(const std::uint8_t*, const std::uint8_t* ahead, const Channels&,
                          const LinearTable& table, std::int16_t*) {
  prefetch_until(ahead, 0, table.bytes);
  return 0;
}

#endif

void linear_across(const std::uint8_t* row, const std::uint8_t* ahead, const Channels& channels,
                   const LinearTable& table, std::int16_t* out) {
  if (across_regular(row, channels, table, out)) {
    prefetch_until(ahead, 0, table.bytes);
    return;
  }
  const int made = across_vectors(row, ahead, channels, table, out);
  for (int c = 0; c < channels.count && made < table.count; ++c) {
    const std::uint8_t* from = row + channels.of[c];
    for (int x = made; x < table.count; ++x) {
      const std::uint8_t* first = from + table.offset[x];
      out[x] = math::linear_across(first[0], first[table.next],
                                   static_cast<int>(table.weights[x] & 0xffff),
                                   static_cast<int>(table.weights[x] >> 16));
    }
    out += table.pitch;
  }
}

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

void pick_pixels(const std::uint8_t* row, const Channels& channels, const std::int32_t* offset,
                 int count, int pitch, std::uint8_t* line) {
  int done = 0;
#if defined(__AVX2__)
  if (channels.step == 3) {
    const __m128i order = order_of_planes(channels, 4);
    const auto load_four_pixels = [=](const std::int32_t* at) {
      return _mm_setr_epi32(load_int(row + at[0]), load_int(row + at[1]), load_int(row + at[2]),
                            load_int(row + at[3]));
    };
    // the last pixel has no fourth byte
    for (; done + 16 <= count && offset[done + 15] < offset[count - 1]; done += 16) {
      const std::int32_t* at = offset + done;
      const __m128i four[4] = {load_four_pixels(at), load_four_pixels(at + 4),
                               load_four_pixels(at + 8), load_four_pixels(at + 12)};
      store_planes(four, order, line + done, pitch);
    }
  }
#elif defined(EDGEDL_NEON)
  if (channels.step == 3) {
    const Channels from = channels;  // a copy cannot change when an output is written
    // the last pixels have no eight bytes
    for (; done + 8 <= count && offset[done + 7] + 8 <= offset[count - 1] + 3; done += 8) {
      uint8x16_t bytes[3];
      load_columns<0>(row, offset + done, bytes);
      vst1_u8(line + from.of[0] * pitch + done, vget_low_u8(bytes[0]));
      vst1_u8(line + from.of[1] * pitch + done, vget_high_u8(bytes[0]));
      vst1_u8(line + from.of[2] * pitch + done, vget_low_u8(bytes[1]));
    }
  }
#endif
  for (int c = 0; c < channels.count; ++c) {
    const std::uint8_t* from = row + channels.of[c];
    for (int i = done; i < count; ++i) line[c * pitch + i] = from[offset[i]];
  }
}

void split_pixels(const std::uint8_t* row, const Channels& channels, int count, int pitch,
                  std::uint8_t* line) {
#if defined(__AVX2__) || defined(EDGEDL_NEON)
  const auto store = [=](int c, int x, Plane bytes) {
    store_plane(line + std::ptrdiff_t{c} * pitch + x, bytes);
  };
  if (channels.step == 3 && for_all_planes(row, channels, count, store)) return;
#endif
  for (int c = 0; c < channels.count; ++c) {
    const std::uint8_t* from = row + channels.of[c];
    std::uint8_t* to = line + std::ptrdiff_t{c} * pitch;
    if (channels.step == 1) {
      memcpy(to, from, static_cast<std::size_t>(count));
      continue;
    }
    for (int i = 0; i < count; ++i) to[i] = from[i * channels.step];
  }
}
