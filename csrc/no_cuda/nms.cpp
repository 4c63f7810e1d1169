// The symbols of nms_cuda.cu in a build without nvcc.
#include "kernels/nms.h"

#include "no_cuda/refuse.h"

namespace edgedl {

void nms_cuda(const Nms&, const float*, const float*, const std::int32_t*, void*, std::int32_t*,
              std::int32_t*, CUstream_st*) {
  refuse("nms_cuda");
}

}  // namespace edgedl
