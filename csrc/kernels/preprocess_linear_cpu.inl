// One value of each channel from each of 16 pixels, 8 bytes of which lie at each offset, is more
// than one vector holds, so kernels go through 16 pixels at a time. Loads never leave the row:
// where 8 bytes would, the pixels are first copied one by one.
constexpr int kBlock = 16;
constexpr int kSlot = 8;

#if defined(__AVX2__)

struct CopiedPixels {
  std::uint8_t bytes[kBlock * kSlot];
};

// `taps` neighbours of each of 16 pixels, one after the other in its slot
inline CopiedPixels copy_pixels(const std::uint8_t* row, int step, const std::int32_t* offset,
                                int taps, int next) {
  CopiedPixels copied;
  for (int i = 0; i < kBlock; ++i) {
    for (int k = 0; k < taps * step; ++k) {
      const int at = k < step ? k : k - step + next;
      copied.bytes[i * kSlot + k] = row[offset[i] + at];
    }
    for (int k = taps * step; k < kSlot; ++k) copied.bytes[i * kSlot + k] = 0;
  }
  return copied;
}

alignas(64) const std::int32_t kSlots[kBlock] = {0,  8,  16, 24, 32, 40,  48,  56,
                                                 64, 72, 80, 88, 96, 104, 112, 120};

inline __m128i load_two(const std::uint8_t* a, const std::uint8_t* b) {
  const __m128i low = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(a));
  return _mm_castps_si128(_mm_loadh_pi(_mm_castsi128_ps(low), reinterpret_cast<const __m64*>(b)));
}

#endif

#if defined(__AVX512VBMI__)

inline __m512i load_eight(const std::uint8_t* row, const std::int32_t* offset) {
  const __m256i low =
      join(load_two(row + offset[0], row + offset[1]), load_two(row + offset[2], row + offset[3]));
  const __m256i high =
      join(load_two(row + offset[4], row + offset[5]), load_two(row + offset[6], row + offset[7]));
  return _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
}

// Where the bytes of 16 pixels are: in two registers, at these places from 0 to 127.
struct Pixels {
  __m512i low, high, place;
};

inline Pixels load_pixels(const std::uint8_t* row, const std::int32_t* offset, int bytes) {
  const int first = offset[0];
  const int span = offset[kBlock - 1] - first + kSlot;
  const __m512i place = _mm512_sub_epi32(load_64(offset), _mm512_set1_epi32(first));
  if (span <= 64 && first + 64 <= bytes) {
    const __m512i all = load_64(row + first);
    return {all, all, place};
  }
  if (span <= 128 && first + 128 <= bytes) {
    return {load_64(row + first), load_64(row + first + 64), place};
  }
  return {load_eight(row, offset), load_eight(row, offset + 8), load_64(kSlots)};
}

// 16 pixels of one channel, of which a place of 32 bits holds both neighbours
inline __m256i across_16(const Pixels& pixels, __m512i place, __m512i weights) {
  constexpr __mmask64 kLowBytes = 0x5555555555555555;
  const __m512i taps = _mm512_maskz_permutex2var_epi8(kLowBytes, pixels.low, place, pixels.high);
  return _mm512_cvtepi32_epi16(_mm512_srai_epi32(_mm512_madd_epi16(taps, weights), 4));
}

template <int Step>
inline void across_block(const std::uint8_t* row, const Channels& channels,
                         const std::int32_t* offset, const std::uint32_t* weights, int bytes,
                         std::int16_t* out, int pitch) {
  const __m512i weight = load_64(weights);
  const auto put = [=](const Pixels& pixels, int c, int shift) {
    const __m512i first = _mm512_or_si512(pixels.place, _mm512_slli_epi32(pixels.place, 16));
    const __m512i place = _mm512_add_epi16(first, _mm512_set1_epi32(shift | (shift + Step) << 16));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(out + c * pitch),
                        across_16(pixels, place, weight));
  };
  if (Step == 3) {
    const Pixels pixels = load_pixels(row, offset, bytes);
    for (int c = 0; c < 3; ++c) put(pixels, c, static_cast<int>(channels.of[c]));
  } else {
    for (int c = 0; c < channels.count; ++c) {
      put(load_pixels(row + channels.of[c], offset, bytes), c, 0);
    }
  }
}

#elif defined(__AVX2__)

// Pixels a, b in the lower half and a + 8, b + 8 in the upper one
inline __m256i load_four(const std::uint8_t* row, const std::int32_t* offset, int a, int b) {
  return join(load_two(row + offset[a], row + offset[b]),
              load_two(row + offset[a + 8], row + offset[b + 8]));
}

// The neighbours of one channel of two pixels as 16-bit numbers in the low half of each lane, those
// of another one in the high half; a channel of -1 gives zeros.
template <int Step>
inline __m256i neighbours(int low, int high) {
  constexpr int kNone = 0x80;
  alignas(16) std::uint8_t place[16];
  for (int i = 0; i < 16; ++i) place[i] = kNone;
  for (int pixel = 0; pixel < 2; ++pixel) {
    for (int tap = 0; tap < 2; ++tap) {
      const int at = pixel * kSlot + tap * Step;
      place[4 * pixel + 2 * tap] = static_cast<std::uint8_t>(low < 0 ? kNone : at + low);
      place[8 + 4 * pixel + 2 * tap] = static_cast<std::uint8_t>(high < 0 ? kNone : at + high);
    }
  }
  return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i*>(place)));
}

inline __m256i weigh(__m256i taps, __m256i weights) {
  return _mm256_srai_epi32(_mm256_madd_epi16(taps, weights), 4);
}

// Orders of pixels are such that the two packings below undo each other's.
template <int Step>
inline void across_block(const std::uint8_t* row, const Channels& channels,
                         const std::int32_t* offset, const std::uint32_t* weights, int,
                         std::int16_t* out, int pitch) {
  const __m256i even = join(load_16(weights), load_16(weights + 8));
  const __m256i odd = join(load_16(weights + 4), load_16(weights + 12));
  if (Step == 3) {
    const __m256i a = load_four(row, offset, 0, 1), b = load_four(row, offset, 2, 3);
    const __m256i c = load_four(row, offset, 4, 5), d = load_four(row, offset, 6, 7);
    const __m256i two =
        neighbours<3>(static_cast<int>(channels.of[0]), static_cast<int>(channels.of[1]));
    const __m256i one = neighbours<3>(static_cast<int>(channels.of[2]), -1);
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
    return;
  }
  for (int k = 0; k < channels.count; ++k) {
    const std::uint8_t* from = row + channels.of[k];
    const __m256i one = neighbours<1>(0, -1);
    const auto pair = [&](int i) {
      return _mm256_unpacklo_epi64(_mm256_shuffle_epi8(load_four(from, offset, i, i + 1), one),
                                   _mm256_shuffle_epi8(load_four(from, offset, i + 2, i + 3), one));
    };
    store_32(out + k * pitch, _mm256_packs_epi32(weigh(pair(0), even), weigh(pair(4), odd)));
  }
}

#endif

#if defined(__AVX2__)

template <int Step>
inline void across_row(const std::uint8_t* row, const Channels& channels, const LinearTable& table,
                       std::int16_t* out) {
  for (int x = 0; x < table.count; x += kBlock) {
    const std::int32_t* offset = table.offset + x;
    if (offset[kBlock - 1] + kSlot <= table.bytes) {
      across_block<Step>(row, channels, offset, table.weights + x, table.bytes, out + x,
                         table.pitch);
      continue;
    }
    const int sources = Step == 3 ? 1 : channels.count;
    for (int c = 0; c < sources; ++c) {
      const CopiedPixels copied =
          copy_pixels(Step == 3 ? row : row + channels.of[c], Step, offset, 2, table.next);
      Channels alone = channels;
      if (Step == 1) alone = Channels{1, 1, {0, 0, 0}};
      across_block<Step>(copied.bytes, alone, kSlots, table.weights + x, sizeof copied.bytes,
                         out + c * table.pitch + x, table.pitch);
    }
  }
}

void linear_across(const std::uint8_t* row, const Channels& channels, const LinearTable& table,
                   std::int16_t* out) {
  if (channels.step == 3) {
    across_row<3>(row, channels, table, out);
  } else {
    across_row<1>(row, channels, table, out);
  }
}

#else

void linear_across(const std::uint8_t* row, const Channels& channels, const LinearTable& table,
                   std::int16_t* out) {
  for (int c = 0; c < channels.count; ++c) {
    const std::uint8_t* from = row + channels.of[c];
    for (int x = 0; x < table.count; ++x) {
      const std::uint8_t* first = from + table.offset[x];
      out[x] = math::linear_across(first[0], first[table.next],
                                   static_cast<int>(table.weights[x] & 0xffff),
                                   static_cast<int>(table.weights[x] >> 16));
    }
    out += table.pitch;
  }
}

#endif

#if defined(__AVX512VBMI__)

void linear_down(const std::int16_t* above, const std::int16_t* below, std::int16_t weight0,
                 std::int16_t weight1, int count, std::uint8_t* line) {
  const __m512i w0 = _mm512_set1_epi16(weight0), w1 = _mm512_set1_epi16(weight1);
  const __m512i half = _mm512_set1_epi16(2);
  const __m512i in_order = _mm512_setr_epi64(0, 2, 4, 6, 1, 3, 5, 7);
  const auto down = [&](int i) {
    const __m512i sum = _mm512_add_epi16(_mm512_mulhi_epi16(load_64(above + i), w0),
                                         _mm512_mulhi_epi16(load_64(below + i), w1));
    return _mm512_srli_epi16(_mm512_add_epi16(sum, half), 2);
  };
  for (int i = 0; i < count; i += 64) {
    const __m512i packed = _mm512_packus_epi16(down(i), down(i + 32));
    _mm512_storeu_si512(line + i, _mm512_permutexvar_epi64(in_order, packed));
  }
}

#elif defined(__AVX2__)

void linear_down(const std::int16_t* above, const std::int16_t* below, std::int16_t weight0,
                 std::int16_t weight1, int count, std::uint8_t* line) {
  const __m256i w0 = _mm256_set1_epi16(weight0), w1 = _mm256_set1_epi16(weight1);
  const __m256i half = _mm256_set1_epi16(2);
  const auto down = [&](int i) {
    const __m256i sum = _mm256_add_epi16(_mm256_mulhi_epi16(load_32(above + i), w0),
                                         _mm256_mulhi_epi16(load_32(below + i), w1));
    return _mm256_srli_epi16(_mm256_add_epi16(sum, half), 2);
  };
  for (int i = 0; i < count; i += 32) {
    const __m256i packed = _mm256_packus_epi16(down(i), down(i + 16));
    store_32(line + i, _mm256_permute4x64_epi64(packed, 0xd8));
  }
}

#else

void linear_down(const std::int16_t* above, const std::int16_t* below, std::int16_t weight0,
                 std::int16_t weight1, int count, std::uint8_t* line) {
  for (int i = 0; i < count; ++i) {
    line[i] = static_cast<std::uint8_t>(math::linear_down(above[i], below[i], weight0, weight1));
  }
}

#endif

void pick_pixels(const std::uint8_t* row, const Channels& channels, const std::int32_t* offset,
                 int count, int pitch, std::uint8_t* line) {
  for (int c = 0; c < channels.count; ++c) {
    const std::uint8_t* from = row + channels.of[c];
    for (int i = 0; i < count; ++i) line[c * pitch + i] = from[offset[i]];
  }
}

void split_pixels(const std::uint8_t* row, const Channels& channels, int count, int pitch,
                  std::uint8_t* line) {
  for (int c = 0; c < channels.count; ++c) {
    const std::uint8_t* from = row + channels.of[c];
    for (int i = 0; i < count; ++i) line[c * pitch + i] = from[i * channels.step];
  }
}
