// The symbols of softmax_top_k_cuda.cu in a build without nvcc.
#include "kernels/softmax_top_k.h"

#include "no_cuda/refuse.h"

namespace edgedl {

void softmax_top_k_cuda(const SoftmaxTopK&, const float*, float*, std::int64_t*, void*,
                        CUstream_st*) {
  refuse("softmax_top_k_cuda");
}

}  // namespace edgedl
