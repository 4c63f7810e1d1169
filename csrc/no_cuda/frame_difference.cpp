// The symbols of frame_difference_cuda.cu in a build without nvcc.
#include "kernels/frame_difference.h"

#include "no_cuda/refuse.h"

namespace edgedl {

void frame_difference_cuda(const FrameDifference&, const std::uint8_t*, const std::uint8_t*,
                           std::uint8_t*, std::uint8_t*, std::uint8_t*, CUstream_st*) {
  refuse("frame_difference_cuda");
}

}  // namespace edgedl
