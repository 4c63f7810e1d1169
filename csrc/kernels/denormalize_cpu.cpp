#include "kernels/denormalize.h"
#include "simd/targets.h"

namespace edgedl {

void denormalize_cpu(const Denormalize& job, const float* src, std::uint8_t* dst) {
  const CpuKernels& kernels = active_target();
  const auto pixels = job.channels == 1 ? kernels.denormalize_gray : kernels.denormalize_color;
  const std::ptrdiff_t plane = static_cast<std::ptrdiff_t>(job.height) * job.width;
  for (int n = 0; n < job.images; ++n) {
    DenormalizePlanes planes{};
    for (int c = 0; c < job.channels; ++c) {
      const int to = job.reversed ? job.channels - 1 - c : c;
      planes.src[to] = src + c * plane;
      planes.scale[to] = job.scale[c];
      planes.bias[to] = job.bias[c];
    }
    pixels(planes, dst, plane);
    src += plane * job.channels;
    dst += plane * job.channels;
  }
}

}  // namespace edgedl
