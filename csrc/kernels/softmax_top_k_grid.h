// What CUDA threads of softmax_top_k do after those of softmax_grid.h: one output each.
#pragma once

#include "kernels/softmax_grid.h"
#include "kernels/softmax_top_k.h"

namespace edgedl {

struct AnyIndex {
  EDGEDL_HD bool operator()(int, int) const { return true; }
};

struct SoftmaxTopKGrid {
  SoftmaxTopK job;
  const float* logits;
  const RowSum* sums;
  float* probabilities;
  std::int64_t* indices;

  static constexpr int kThreads = 256;

  Dim blocks() const { return {blocks_for(outputs(), kThreads), 1, 1}; }
  Dim threads() const { return {kThreads, 1, 1}; }

  EDGEDL_HD std::int64_t outputs() const { return static_cast<std::int64_t>(job.rows) * job.count; }

  EDGEDL_HD void operator()(const Thread& thread) const {
    const std::int64_t at = static_cast<std::int64_t>(thread.block.x) * kThreads + thread.at.x;
    if (at >= outputs()) return;
    const std::int64_t row = at / job.count;
    const RowSum sum = sums[row];
    if (sum.sum != sum.sum) {
      probabilities[at] = NAN;
      indices[at] = -1;
    } else {
      const float value = logits[row * job.width + indices[at]];
      probabilities[at] = math::exp_of_nonpositive(value - sum.largest) * (1.0f / sum.sum);
    }
  }
};

// Hands all kernels to `run` in order.
template <class Run>
void softmax_top_k_on_grid(const SoftmaxTopK& job, const float* logits, float* probabilities,
                           std::int64_t* indices, void* scratch, const Run& run) {
  if (job.rows == 0) return;
  auto* sums = static_cast<RowSum*>(scratch);
  run(SumGrid{logits, sums, job.rows, job.width});
  for (int round = 0; round < job.count; ++round) {
    run(RankGrid<AnyIndex>{logits, indices, job.rows, job.width, job.count, round, {}});
  }
  run(SoftmaxTopKGrid{job, logits, sums, probabilities, indices});
}

}  // namespace edgedl
