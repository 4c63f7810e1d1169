#include <vector>

#include "kernels/frame_difference_grid.h"

namespace edgedl {

void frame_difference_emulated(const FrameDifference& job, const std::uint8_t* src,
                               const std::uint8_t* previous, std::uint8_t* blurred,
                               std::uint8_t* changed, int order) {
  const auto size = static_cast<std::size_t>(job.height / job.box) *
                    static_cast<std::size_t>(job.width / job.box);
  std::vector<std::uint8_t> scratch(2 * size, 0xCD);
  frame_difference_steps(job, src, previous, blurred, changed, scratch.data(),
                         [&](const auto& kernel) { emulate(kernel, order); });
}

}  // namespace edgedl
