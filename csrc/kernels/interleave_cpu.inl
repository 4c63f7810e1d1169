// Three channels of kInterleaved pixels each, as one vector of bytes a channel, to one pixel after
// the other.
#if defined(__AVX512VBMI__)

constexpr int kInterleaved = 64;

// Byte i of the 192 is pixel i / 3 of channel i % 3.
struct InterleaveOrder {
  alignas(64) std::uint8_t pair[3][64];   // of the first two channels
  alignas(64) std::uint8_t third[3][64];  // of what `pair` gave and the third one

  constexpr InterleaveOrder() : pair(), third() {
    for (int i = 0; i < 192; ++i) {
      const int pixel = i / 3, channel = i % 3;
      pair[i / 64][i % 64] = static_cast<std::uint8_t>(channel == 1 ? 64 + pixel : pixel);
      third[i / 64][i % 64] = static_cast<std::uint8_t>(channel == 2 ? 64 + pixel : i % 64);
    }
  }
};
constexpr InterleaveOrder kInterleaveOrder;

inline void interleave(std::uint8_t* dst, __m512i first, __m512i second, __m512i third) {
  for (int i = 0; i < 3; ++i) {
    const __m512i pair = _mm512_load_si512(kInterleaveOrder.pair[i]);
    const __m512i last = _mm512_load_si512(kInterleaveOrder.third[i]);
    const __m512i two = _mm512_permutex2var_epi8(first, pair, second);
    _mm512_storeu_si512(dst + 64 * i, _mm512_permutex2var_epi8(two, last, third));
  }
}

#elif defined(__AVX2__)

constexpr int kInterleaved = 16;

// Byte i of the 48 is pixel i / 3 of channel i % 3; 255 leaves a zero for the other channels.
struct InterleaveOrder {
  alignas(16) std::uint8_t from[3][3][16];

  constexpr InterleaveOrder() : from() {
    for (int channel = 0; channel < 3; ++channel) {
      for (int i = 0; i < 48; ++i) {
        from[channel][i / 16][i % 16] = static_cast<std::uint8_t>(i % 3 == channel ? i / 3 : 255);
      }
    }
  }
};
constexpr InterleaveOrder kInterleaveOrder;

inline __m128i spread_bytes(__m128i bytes, int channel, int i) {
  const auto* order = reinterpret_cast<const __m128i*>(kInterleaveOrder.from[channel][i]);
  return _mm_shuffle_epi8(bytes, _mm_load_si128(order));
}

inline void interleave(std::uint8_t* dst, __m128i first, __m128i second, __m128i third) {
  for (int i = 0; i < 3; ++i) {
    const __m128i two = _mm_or_si128(spread_bytes(first, 0, i), spread_bytes(second, 1, i));
    store_16(dst + 16 * i, _mm_or_si128(two, spread_bytes(third, 2, i)));
  }
}

#elif defined(EDGEDL_NEON)

constexpr int kInterleaved = 16;

inline void interleave(std::uint8_t* dst, uint8x16_t first, uint8x16_t second, uint8x16_t third) {
  vst3q_u8(dst, (uint8x16x3_t{{first, second, third}}));
}

#endif
