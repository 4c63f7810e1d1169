#include "core/launch.h"
#include "kernels/denormalize_grid.h"

namespace edgedl {

void denormalize_cuda(const Denormalize& job, const float* src, std::uint8_t* dst,
                      CUstream_st* stream) {
  launch("denormalize_cuda", DenormalizeGrid{job, src, dst}, stream);
}

}  // namespace edgedl
