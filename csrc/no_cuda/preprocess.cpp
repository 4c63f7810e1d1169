// The symbols of preprocess_cuda.cu in a build without nvcc.
#include "kernels/preprocess.h"

#include "core/error.h"

namespace edgedl {

bool built_with_cuda() {
  return false;
}

void preprocess_cuda(const PreprocessPlan&, const Picture&, void*, CUstream_st*) {
  require(false, "preprocess_cuda",
          "this edgedl was built without CUDA; install the CUDA toolkit (nvcc) and build again "
          "with -DEDGEDL_CUDA=ON");
}

}  // namespace edgedl
