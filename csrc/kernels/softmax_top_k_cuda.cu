#include "core/launch.h"
#include "kernels/softmax_top_k_grid.h"

namespace edgedl {

void softmax_top_k_cuda(const SoftmaxTopK& job, const float* logits, float* probabilities,
                        std::int64_t* indices, void* scratch, CUstream_st* stream) {
  softmax_top_k_on_grid(job, logits, probabilities, indices, scratch,
                        [&](const auto& kernel) { launch("softmax_top_k_cuda", kernel, stream); });
}

}  // namespace edgedl
