// The symbols of denormalize_cuda.cu in a build without nvcc.
#include "kernels/denormalize.h"

#include "no_cuda/refuse.h"

namespace edgedl {

void denormalize_cuda(const Denormalize&, const float*, std::uint8_t*, CUstream_st*) {
  refuse("denormalize_cuda");
}

}  // namespace edgedl
