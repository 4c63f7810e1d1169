// lstm_step and lstm_greedy on exactly sized buffers, by every target: the sanitizers see any
// access outside of them, and what is undefined for numbers that are huge, tiny or none.
#include <cstdio>
#include <cstring>
#include <limits>
#include <vector>

#include "kernels/lstm_greedy.h"
#include "kernels/lstm_step.h"
#include "simd/targets.h"

namespace {

using namespace edgedl;

unsigned state = 1;

float noise() {
  state = state * 1664525u + 1013904223u;
  return static_cast<float>(state >> 8) / 8388608.0f - 1.0f;
}

std::vector<float> numbers(int count, float scale = 1.0f) {
  std::vector<float> made(static_cast<std::size_t>(count));
  for (float& value : made) value = noise() * scale;
  return made;
}

// A product's weights without a spare byte, in float or int8.
struct Weights {
  std::vector<float> in_float, bias;
  std::vector<std::int8_t> int8;
  std::vector<std::int32_t> sums;
  LstmProduct product{};

  Weights(int inputs, int outputs, bool is_int8) : bias(numbers(outputs)) {
    const int blocks = (outputs + kLstmBlock - 1) / kLstmBlock;
    const int groups = (inputs + kLstmGroup - 1) / kLstmGroup;
    product.inputs = inputs;
    product.outputs = outputs;
    product.bias = bias.data();
    if (is_int8) {
      for (const float value : numbers(blocks * groups * kLstmBlock * kLstmGroup, 127.9f)) {
        int8.push_back(static_cast<std::int8_t>(value));
      }
      sums.resize(static_cast<std::size_t>(blocks * kLstmBlock));
      lstm_add_up(int8.data(), blocks, groups, sums.data());
      product.int8 = int8.data();
      product.sums = sums.data();
      product.scale = 0.01f;
    } else {
      in_float = numbers(blocks * inputs * kLstmBlock);
      product.in_float = in_float.data();
    }
  }
};

std::vector<float> step(int size, int count, bool is_int8, float scale) {
  state = static_cast<unsigned>(size * 7 + count);
  const int tokens = size + 2, embedding = size, hidden = size + 1, attention = size + 3;
  const int seen = 2 * size, positions = size;
  const std::vector<float> words = numbers(tokens * embedding, scale), score = numbers(attention);
  const Weights query(embedding + hidden, attention, is_int8);
  const Weights gates(embedding + seen + hidden, 4 * hidden, is_int8);
  const Weights logits(hidden, tokens, is_int8);
  const LstmStep net{tokens,        embedding,     hidden,        attention,
                     seen,          positions,     words.data(),  score.data(),
                     query.product, gates.product, logits.product};
  std::vector<std::int64_t> token(static_cast<std::size_t>(count), tokens - 1);
  const std::vector<float> h = numbers(count * hidden, scale), c = numbers(count * hidden, scale);
  const std::vector<float> features = numbers(count * positions * (seen + attention), scale);
  std::vector<float> out_logits(static_cast<std::size_t>(count * tokens));
  std::vector<float> out_h(h.size()), out_c(c.size());
  lstm_step_cpu(net, {count, token.data(), h.data(), c.data(), features.data(), out_logits.data(),
                      out_h.data(), out_c.data()});
  out_logits.insert(out_logits.end(), out_h.begin(), out_h.end());
  out_logits.insert(out_logits.end(), out_c.begin(), out_c.end());
  constexpr int kSteps = 3;
  std::vector<std::int64_t> said(static_cast<std::size_t>(kSteps * count));
  std::vector<float> probability(said.size());
  lstm_greedy_cpu(net, {count, kSteps, tokens - 1, 0, h.data(), c.data(), features.data(),
                        said.data(), probability.data()});
  for (const std::int64_t one : said) out_logits.push_back(static_cast<float>(one));
  out_logits.insert(out_logits.end(), probability.begin(), probability.end());
  return out_logits;
}

}  // namespace

int main() {
  int failures = 0;
  const float odd[] = {1.0f,
                       0.0f,
                       1e-44f,
                       1e-30f,
                       1e6f,
                       2e7f,
                       1e30f,
                       3e38f,
                       -3e38f,
                       std::numeric_limits<float>::infinity(),
                       std::numeric_limits<float>::quiet_NaN()};
  for (const int size : {1, 2, 7, 13, 16, 17, 31}) {
    for (const int count : {1, 3}) {
      for (const bool is_int8 : {false, true}) {
        for (const float scale : odd) {
          set_active_target("scalar");
          const std::vector<float> expected = step(size, count, is_int8, scale);
          for (const CpuKernels* target : runnable_targets()) {
            set_active_target(target->name);
            const std::vector<float> found = step(size, count, is_int8, scale);
            const bool is_number = scale < 1e30f && scale > -1e30f;
            const bool same = std::memcmp(found.data(), expected.data(), 4 * found.size()) == 0;
            if (same || !is_number) continue;  // NaNs may differ in their bits
            ++failures;
            std::printf("FAIL %s, size %d, scale %g\n", target->name, size, scale);
          }
        }
      }
    }
  }
  std::printf("%s: %d failures\n", failures == 0 ? "ok" : "FAILED", failures);
  return failures == 0 ? 0 : 1;
}
