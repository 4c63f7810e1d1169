#include "kernels/denormalize.h"
#include "simd/targets.h"

namespace edgedl {

void denormalize_cpu(const Denormalize& job, const float* src, std::uint8_t* dst) {
  const CpuKernels& kernels = active_target();
  const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(job.height) * job.width;
  for (int n = 0; n < job.images; ++n) {
    for (int c = 0; c < job.channels; ++c) {
      const int to = job.reversed ? job.channels - 1 - c : c;
      kernels.denormalize_row(src, dst + to, plane, job.channels, job.scale[c], job.bias[c]);
      src += plane;
    }
    dst += plane * job.channels;
  }
}

}  // namespace edgedl
