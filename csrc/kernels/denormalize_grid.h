// What a CUDA thread of denormalize does: one pixel of one image.
#pragma once

#include "core/grid.h"
#include "kernels/denormalize.h"
#include "kernels/denormalize_math.h"

namespace edgedl {

struct DenormalizeGrid {
  Denormalize job;
  const float* src;
  std::uint8_t* dst;

  static constexpr int kThreads = 256;

  Dim blocks() const {
    return {blocks_for(static_cast<std::int64_t>(job.height) * job.width, kThreads), job.images, 1};
  }
  Dim threads() const { return {kThreads, 1, 1}; }

  EDGEDL_HD void operator()(const Thread& thread) const {
    const std::int64_t plane = static_cast<std::int64_t>(job.height) * job.width;
    const std::int64_t pixel = static_cast<std::int64_t>(thread.block.x) * kThreads + thread.at.x;
    if (pixel >= plane) return;
    const std::int64_t image = thread.block.y * plane * job.channels;
    for (int c = 0; c < job.channels; ++c) {
      const int to = job.reversed ? job.channels - 1 - c : c;
      const float x = src[image + c * plane + pixel];
      dst[image + pixel * job.channels + to] = math::denormalize(x, job.scale[c], job.bias[c]);
    }
  }
};

}  // namespace edgedl
