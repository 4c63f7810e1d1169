// The symbols of preprocess_cuda.cu in a build without nvcc.
#include "kernels/preprocess.h"

#include "no_cuda/refuse.h"

namespace edgedl {

bool built_with_cuda() {
  return false;
}

void preprocess_cuda(const PreprocessPlan&, const Picture*, int, void*, CUstream_st*) {
  refuse("preprocess_cuda");
}

}  // namespace edgedl
