// Pixels of a source row, their channels apart: as planes of a line, and as vectors of bytes.

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

#endif

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

#if defined(__AVX2__)

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

#elif defined(EDGEDL_NEON)

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

#endif

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
