#include "kernels/denormalize_grid.h"

namespace edgedl {

void denormalize_emulated(const Denormalize& job, const float* src, std::uint8_t* dst, int order) {
  emulate(DenormalizeGrid{job, src, dst}, order);
}

}  // namespace edgedl
