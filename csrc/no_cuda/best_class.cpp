// The symbols of best_class_cuda.cu in a build without nvcc.
#include "kernels/best_class.h"

#include "no_cuda/refuse.h"

namespace edgedl {

void best_class_cuda(const BestClass&, const float*, float*, std::int32_t*, CUstream_st*) {
  refuse("best_class_cuda");
}

}  // namespace edgedl
