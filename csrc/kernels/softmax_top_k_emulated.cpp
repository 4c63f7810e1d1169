#include <vector>

#include "kernels/softmax_top_k_grid.h"

namespace edgedl {

std::size_t softmax_top_k_scratch_bytes(const SoftmaxTopK& job) {
  return static_cast<std::size_t>(job.rows) * sizeof(RowSum);
}

void softmax_top_k_emulated(const SoftmaxTopK& job, const float* logits, float* probabilities,
                            std::int64_t* indices, int order) {
  std::vector<RowSum> scratch(static_cast<std::size_t>(job.rows));
  softmax_top_k_on_grid(job, logits, probabilities, indices, scratch.data(),
                        [&](const auto& kernel) { emulate(kernel, order); });
}

}  // namespace edgedl
