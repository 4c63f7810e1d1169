#include <algorithm>
#include <cstddef>
#include <vector>

#include "kernels/lstm_greedy.h"
#include "kernels/softmax_top_k.h"

namespace edgedl {
namespace {

// Whether another step is of use. Rows that have ended say `end`.
bool goes_on(std::vector<std::int64_t>& said, std::vector<char>& has_ended, std::int64_t end) {
  bool is_finite = true, is_any_living = false;
  for (std::size_t n = 0; n < said.size(); ++n) {
    if (said[n] < 0) is_finite = false;
    if (has_ended[n] && said[n] >= 0) said[n] = end;
    has_ended[n] = said[n] == end;
    if (!has_ended[n]) is_any_living = true;
  }
  return is_finite && is_any_living;
}

}  // namespace

int lstm_greedy_cpu(const LstmStep& net, const LstmGreedy& job) {
  const auto rows = static_cast<std::size_t>(job.rows);
  const std::size_t state = rows * static_cast<std::size_t>(net.hidden);
  std::vector<float> logits(rows * static_cast<std::size_t>(net.tokens));
  std::vector<float> states[2] = {std::vector<float>(2 * state), std::vector<float>(2 * state)};
  std::vector<std::int64_t> said(rows, job.begin);
  std::vector<char> has_ended(rows, 0);
  const SoftmaxTopK most_probable{job.rows, net.tokens, 1};
  const float *h = job.h, *c = job.c;
  for (int step = 0; step < job.steps; ++step) {
    float* out = states[step % 2].data();
    lstm_step_cpu(net,
                  {job.rows, said.data(), h, c, job.features, logits.data(), out, out + state});
    h = out;
    c = out + state;
    const std::size_t at = static_cast<std::size_t>(step) * rows;
    softmax_top_k_cpu(most_probable, logits.data(), job.probability + at, said.data());
    const bool is_more_of_use = goes_on(said, has_ended, job.end);
    std::copy(said.begin(), said.end(), job.token + at);
    if (!is_more_of_use) return step + 1;
  }
  return job.steps;
}

}  // namespace edgedl
