// Between the columns of a source row: a line of 16-bit numbers, see linear_down.

#if defined(__AVX512VBMI__)

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

inline void store_each_pixel(std::int16_t* out, Plane bytes) {
  const __m128i low = _mm256_castsi256_si128(bytes), high = _mm256_extracti128_si256(bytes, 1);
  store_32(out, _mm256_slli_epi16(_mm256_cvtepu8_epi16(low), 7));
  store_32(out + 16, _mm256_slli_epi16(_mm256_cvtepu8_epi16(high), 7));
}

inline void store_each_pair(std::int16_t* out, Plane bytes) {
  store_32(out, _mm256_slli_epi16(_mm256_maddubs_epi16(bytes, _mm256_set1_epi8(1)), 6));
}

#elif defined(EDGEDL_NEON)

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

#if defined(__AVX2__)

inline __m128i load_two(const std::uint8_t* a, const std::uint8_t* b) {
  const __m128i low = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(a));
  return _mm_castps_si128(_mm_loadh_pi(_mm_castsi128_ps(low), reinterpret_cast<const __m64*>(b)));
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
