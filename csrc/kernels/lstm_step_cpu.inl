#if defined(EDGEDL_NEON)
constexpr int kLowered = 128;
#else
constexpr int kLowered = 0;
#endif

// sums[o] = sum over groups g, k of (x[4 g + k] - kLowered) w[g][o][k], for one block of 16
// outputs.
#if defined(__AVX512VNNI__)  // one instruction: four products of bytes, added up exactly
static inline void dot_block(const std::int8_t* w, const std::uint8_t* x, int groups,
                             std::int32_t* sums) {
  __m512i parts[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(),
                      _mm512_setzero_si512()};
  int g = 0;
  for (; g + 4 <= groups; g += 4) {
    for (int i = 0; i < 4; ++i) {
      std::int32_t four;
      __builtin_memcpy(&four, x + 4 * (g + i), 4);
      __builtin_prefetch(w + 64 * (g + i) + 2048);
      parts[i] = _mm512_dpbusd_epi32(parts[i], _mm512_set1_epi32(four),
                                     _mm512_loadu_si512(w + 64 * (g + i)));
    }
  }
  for (; g < groups; ++g) {
    std::int32_t four;
    __builtin_memcpy(&four, x + 4 * g, 4);
    parts[0] =
        _mm512_dpbusd_epi32(parts[0], _mm512_set1_epi32(four), _mm512_loadu_si512(w + 64 * g));
  }
  _mm512_storeu_si512(sums, _mm512_add_epi32(_mm512_add_epi32(parts[0], parts[1]),
                                             _mm512_add_epi32(parts[2], parts[3])));
}
#elif defined(__AVX2__)
// In 16 bits each, a product of bytes and the sum of two products are exact in 32.
static inline void dot_block(const std::int8_t* w, const std::uint8_t* x, int groups,
                             std::int32_t* sums) {
  __m256i pairs[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(),
                      _mm256_setzero_si256()};
  for (int g = 0; g < groups; ++g) {
    std::int32_t four;
    __builtin_memcpy(&four, x + 4 * g, 4);
    const __m256i wide = _mm256_cvtepu8_epi16(_mm_set1_epi32(four));
    for (int i = 0; i < 4; ++i) {
      const auto* bytes = reinterpret_cast<const __m128i*>(w + 64 * g + 16 * i);
      const __m256i weights = _mm256_cvtepi8_epi16(_mm_loadu_si128(bytes));
      pairs[i] = _mm256_add_epi32(pairs[i], _mm256_madd_epi16(weights, wide));
    }
  }
  for (int i = 0; i < 2; ++i) {  // outputs 0 1 4 5 2 3 6 7 of each half
    const __m256i added = _mm256_hadd_epi32(pairs[2 * i], pairs[2 * i + 1]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + 8 * i),
                        _mm256_permute4x64_epi64(added, _MM_SHUFFLE(3, 1, 2, 0)));
  }
}
#elif defined(EDGEDL_NEON)
// Products of signed bytes only: those of x are taken kLowered lower.
static inline int8x16_t lowered(uint8x16_t x) {
  return vreinterpretq_s8_u8(veorq_u8(x, vdupq_n_u8(kLowered)));
}

static inline int8x16_t four_times(const std::uint8_t* x) {
  std::uint32_t four;
  __builtin_memcpy(&four, x, 4);
  return lowered(vreinterpretq_u8_u32(vdupq_n_u32(four)));
}
#if defined(__ARM_FEATURE_DOTPROD)
static inline void dot_block(const std::int8_t* w, const std::uint8_t* x, int groups,
                             std::int32_t* sums) {
  int32x4_t parts[4] = {vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0), vdupq_n_s32(0)};
  int g = 0;
  for (; g + 4 <= groups; g += 4) {
    const int8x16_t numbers = lowered(vld1q_u8(x + 4 * g));
    const std::int8_t* from = w + 64 * g;
    for (int i = 0; i < 4; ++i, from += 16) {
      parts[i] = vdotq_laneq_s32(parts[i], vld1q_s8(from), numbers, 0);
      parts[i] = vdotq_laneq_s32(parts[i], vld1q_s8(from + 64), numbers, 1);
      parts[i] = vdotq_laneq_s32(parts[i], vld1q_s8(from + 128), numbers, 2);
      parts[i] = vdotq_laneq_s32(parts[i], vld1q_s8(from + 192), numbers, 3);
    }
  }
  for (; g < groups; ++g) {
    const int8x16_t numbers = four_times(x + 4 * g);
    for (int i = 0; i < 4; ++i) {
      parts[i] = vdotq_s32(parts[i], vld1q_s8(w + 64 * g + 16 * i), numbers);
    }
  }
  for (int i = 0; i < 4; ++i) vst1q_s32(sums + 4 * i, parts[i]);
}
#else
// In 16 bits a product of bytes is exact, in 32 the sum of two.
static inline void dot_block(const std::int8_t* w, const std::uint8_t* x, int groups,
                             std::int32_t* sums) {
  int32x4_t pairs[8];
  for (int i = 0; i < 8; ++i) pairs[i] = vdupq_n_s32(0);
  for (int g = 0; g < groups; ++g) {
    const int8x16_t numbers = four_times(x + 4 * g);
    for (int i = 0; i < 4; ++i) {
      const int8x16_t weights = vld1q_s8(w + 64 * g + 16 * i);
      const int16x8_t low = vmull_s8(vget_low_s8(weights), vget_low_s8(numbers));
      pairs[2 * i] = vpadalq_s16(pairs[2 * i], low);
      pairs[2 * i + 1] = vpadalq_s16(pairs[2 * i + 1], vmull_high_s8(weights, numbers));
    }
  }
  for (int i = 0; i < 4; ++i) {
    vst1q_s32(sums + 4 * i, vpaddq_s32(pairs[2 * i], pairs[2 * i + 1]));
  }
}
#endif
#else
static inline void dot_block(const std::int8_t* w, const std::uint8_t* x, int groups,
                             std::int32_t* sums) {
  for (int o = 0; o < kLstmBlock; ++o) sums[o] = 0;
  for (int g = 0; g < groups; ++g, w += 64, x += 4) {
    for (int o = 0; o < kLstmBlock; ++o) {
      for (int k = 0; k < kLstmGroup; ++k) sums[o] += x[k] * w[4 * o + k];
    }
  }
}
#endif

typedef float Eight __attribute__((vector_size(32)));

// 16 numbers at once, in as many registers as the target needs.
struct Lanes {
  Eight low, high;
};

static inline void load(const float* x, Lanes* lanes) {
  __builtin_memcpy(&lanes->low, x, sizeof lanes->low);
  __builtin_memcpy(&lanes->high, x + 8, sizeof lanes->high);
}

// The rest of an array, and zeros.
static inline void load_some(const float* x, int count, Lanes* lanes) {
  float numbers[16] = {};
  for (int l = 0; l < count; ++l) numbers[l] = x[l];
  load(numbers, lanes);
}

static inline void store(const Lanes* lanes, float* x) {
  __builtin_memcpy(x, &lanes->low, sizeof lanes->low);
  __builtin_memcpy(x + 8, &lanes->high, sizeof lanes->high);
}

static inline float sum_of(const Lanes* lanes) {
  const Eight pairs = lanes->low + lanes->high;
  float sums[4];
  for (int i = 0; i < 4; ++i) sums[i] = pairs[i] + pairs[i + 4];
  return (sums[0] + sums[2]) + (sums[1] + sums[3]);
}

// The sum in 16 lanes: lane l has every 16th number from l on.
static inline float sum(const float* x, int count) {
  Lanes sums = {}, now;
  for (; count >= 16; x += 16, count -= 16) {
    load(x, &now);
    sums.low += now.low;
    sums.high += now.high;
  }
  load_some(x, count, &now);
  sums.low += now.low;
  sums.high += now.high;
  return sum_of(&sums);
}

// The smallest and largest number, or 0; 0 * x is NaN for what is no finite number.
static inline math::ByteScale scale_of(const float* x, int count) {
  Lanes low = {}, high = {}, odd = {}, now;
  for (int i = 0; i < count; i += 16) {
    if (count - i >= 16) {
      load(x + i, &now);
    } else {
      load_some(x + i, count - i, &now);
    }
    low.low = now.low < low.low ? now.low : low.low;
    low.high = now.high < low.high ? now.high : low.high;
    high.low = now.low > high.low ? now.low : high.low;
    high.high = now.high > high.high ? now.high : high.high;
    odd.low += 0.0f * now.low;
    odd.high += 0.0f * now.high;
  }
  float lows[16], highs[16];
  store(&low, lows);
  store(&high, highs);
  for (int l = 1; l < 16; ++l) {
    lows[0] = lows[l] < lows[0] ? lows[l] : lows[0];
    highs[0] = highs[l] > highs[0] ? highs[l] : highs[0];
  }
  return math::byte_scale(lows[0], highs[0], sum_of(&odd));
}

static inline math::ByteScale quantize(const float* x, int count, std::uint8_t* bytes) {
  const math::ByteScale by = scale_of(x, count);
  for (int i = 0; i < count; ++i) bytes[i] = math::to_byte(x[i], by);
  for (int i = count; i % kLstmGroup != 0; ++i) bytes[i] = 0;
  return by;
}

static inline void multiply_int8(const LstmProduct& product, const float* x, int rows, float* y,
                                 const LstmRoom& room) {
  const int groups = (product.inputs + kLstmGroup - 1) / kLstmGroup;
  const std::ptrdiff_t width = static_cast<std::ptrdiff_t>(groups) * kLstmGroup;
  for (int n = 0; n < rows; ++n) {
    const math::ByteScale by = quantize(x + static_cast<std::ptrdiff_t>(n) * product.inputs,
                                        product.inputs, room.bytes + n * width);
    room.scales[n] = by.scale * product.scale;
    room.zeros[n] = by.zero - kLowered;
  }
  for (int first = 0; first < product.outputs; first += kLstmBlock) {
    const std::int8_t* w = product.int8 + first * width;
    const int count = product.outputs - first < kLstmBlock ? product.outputs - first : kLstmBlock;
    for (int n = 0; n < rows; ++n) {
      std::int32_t sums[kLstmBlock];
      dot_block(w, room.bytes + n * width, groups, sums);
      float* out = y + static_cast<std::ptrdiff_t>(n) * product.outputs + first;
      for (int o = 0; o < count; ++o) {
        const std::int32_t exact = sums[o] - room.zeros[n] * product.sums[first + o];
        out[o] = static_cast<float>(exact) * room.scales[n] + product.bias[first + o];
      }
    }
  }
}

static inline void multiply_float(const LstmProduct& product, const float* x, int rows, float* y) {
  for (int first = 0; first < product.outputs; first += kLstmBlock) {
    const float* block = product.in_float + static_cast<std::ptrdiff_t>(first) * product.inputs;
    const int count = product.outputs - first < kLstmBlock ? product.outputs - first : kLstmBlock;
    for (int n = 0; n < rows; ++n) {
      const float* in = x + static_cast<std::ptrdiff_t>(n) * product.inputs;
      Lanes sums = {}, w;
      for (int i = 0; i < product.inputs; ++i) {
        load(block + static_cast<std::ptrdiff_t>(i) * kLstmBlock, &w);
        sums.low += in[i] * w.low;
        sums.high += in[i] * w.high;
      }
      float all[kLstmBlock];
      store(&sums, all);
      float* out = y + static_cast<std::ptrdiff_t>(n) * product.outputs + first;
      for (int o = 0; o < count; ++o) out[o] = all[o] + product.bias[first + o];
    }
  }
}

static inline void multiply(const LstmProduct& product, const float* x, int rows, float* y,
                            const LstmRoom& room) {
  if (product.int8 != nullptr) {
    multiply_int8(product, x, rows, y, room);
  } else {
    multiply_float(product, x, rows, y);
  }
}

// The mean of what was seen, weighted by how its keys fit the query.
static inline void attend(const LstmStep& net, const float* features, const float* query,
                          float* context, const LstmRoom& room) {
  const int depth = net.seen + net.attention;
  float most = -3.402823466e38f;
  for (int p = 0; p < net.positions; ++p) {
    const float* key = features + static_cast<std::ptrdiff_t>(p) * depth + net.seen;
    for (int a = 0; a < net.attention; ++a) {
      room.terms[a] = net.score[a] * math::tanh_of(key[a] + query[a]);
    }
    room.weights[p] = sum(room.terms, net.attention);
    most = room.weights[p] > most ? room.weights[p] : most;
  }
  for (int p = 0; p < net.positions; ++p)
    room.weights[p] = math::exp_of_nonpositive(room.weights[p] - most);
  const float all = sum(room.weights, net.positions);
  for (int s = 0; s < net.seen; ++s) context[s] = 0.0f;
  for (int p = 0; p < net.positions; ++p) {
    const float* seen = features + static_cast<std::ptrdiff_t>(p) * depth;
    const float weight = room.weights[p] / all;
    for (int s = 0; s < net.seen; ++s) context[s] += weight * seen[s];
  }
}

static inline void cell(const float* __restrict gates, const float* __restrict c, int hidden,
                        float* __restrict c_out, float* __restrict h_out) {
  for (int i = 0; i < hidden; ++i) {
    const float kept = math::sigmoid(gates[hidden + i]) * c[i];
    const float next = kept + math::sigmoid(gates[i]) * math::tanh_of(gates[2 * hidden + i]);
    c_out[i] = next;
    h_out[i] = math::sigmoid(gates[3 * hidden + i]) * math::tanh_of(next);
  }
}

static inline void copy(const float* from, int count, float* to) {
  __builtin_memcpy(to, from, sizeof(float) * static_cast<std::size_t>(count));
}

void lstm_step_rows(const LstmStep& net, const LstmRows& rows, const LstmRoom& room) {
  const int hidden = net.hidden;
  for (std::ptrdiff_t n = 0; n < rows.rows; ++n) {
    float* looked = room.looked + n * net.query.inputs;
    float* read = room.read + n * net.gates.inputs;
    const float* word = net.words + rows.token[n] * net.embedding;
    copy(word, net.embedding, looked);
    copy(rows.h + n * hidden, hidden, looked + net.embedding);
    copy(word, net.embedding, read);
    copy(rows.h + n * hidden, hidden, read + net.embedding + net.seen);
  }
  multiply(net.query, room.looked, rows.rows, room.query, room);
  for (std::ptrdiff_t n = 0; n < rows.rows; ++n) {
    attend(net, rows.features + n * net.positions * (net.seen + net.attention),
           room.query + n * net.attention, room.read + n * net.gates.inputs + net.embedding, room);
  }
  multiply(net.gates, room.read, rows.rows, room.gates, room);
  for (std::ptrdiff_t n = 0; n < rows.rows; ++n) {
    cell(room.gates + n * 4 * hidden, rows.c + n * hidden, hidden, rows.c_out + n * hidden,
         rows.h_out + n * hidden);
  }
  multiply(net.logits, rows.h_out, rows.rows, rows.logits, room);
}
