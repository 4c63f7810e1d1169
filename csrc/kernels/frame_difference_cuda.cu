#include "core/launch.h"
#include "kernels/frame_difference_grid.h"

namespace edgedl {

void frame_difference_cuda(const FrameDifference& job, const std::uint8_t* src,
                           const std::uint8_t* previous, std::uint8_t* blurred,
                           std::uint8_t* changed, std::uint8_t* scratch, CUstream_st* stream) {
  frame_difference_steps(job, src, previous, blurred, changed, scratch, [&](const auto& kernel) {
    launch("frame_difference_cuda", kernel, stream);
  });
}

}  // namespace edgedl
