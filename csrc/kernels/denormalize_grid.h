// What the CUDA threads of denormalize do. A block makes a run of pixels of one image in two
// phases: 0. four neighbours of a channel at a time become bytes; 1. the bytes are written 16 at a
// time.
#pragma once

#include "core/grid.h"
#include "core/words.h"
#include "kernels/denormalize.h"
#include "kernels/denormalize_math.h"

namespace edgedl {

struct DenormalizeGrid {
  Denormalize job;
  const float* src;
  std::uint8_t* dst;

  static constexpr int kThreads = 256;
  static constexpr int kPixels = 4 * kThreads;
  static constexpr int kPhases = 2;

  struct Shared {
    alignas(16) std::uint8_t bytes[3 * kPixels];
  };

  EDGEDL_HD std::int64_t plane() const { return static_cast<std::int64_t>(job.height) * job.width; }
  EDGEDL_HD int blocks_per_image() const {
    return static_cast<int>((plane() + kPixels - 1) / kPixels);
  }

  Dim blocks() const { return {blocks_per_image() * job.images, 1, 1}; }
  Dim threads() const { return {kThreads, 1, 1}; }

  template <int Phase>
  EDGEDL_HD void phase(const Thread& thread, Shared& shared) const {
    const std::int64_t image = thread.block.x / blocks_per_image();
    const std::int64_t first =
        static_cast<std::int64_t>(thread.block.x % blocks_per_image()) * kPixels;
    const std::int64_t left = plane() - first;
    const int count = left < kPixels ? static_cast<int>(left) : kPixels;
    const std::int64_t at = image * plane() * job.channels;
    if constexpr (Phase == 0) make_bytes(thread.at.x, src + at + first, count, shared);
    if constexpr (Phase == 1) write(thread.at.x, dst + at + first * job.channels, count, shared);
  }

 private:
  EDGEDL_HD void make_bytes(int thread, const float* from, int count, Shared& shared) const {
    const int pixel = 4 * thread;
    for (int c = 0; c < job.channels; ++c) {
      float x[4] = {};
      const float* at = from + c * plane() + pixel;
      if (pixel + 4 <= count && is_aligned(at, 16)) {
        const Words words = load_aligned<Words>(reinterpret_cast<const std::uint8_t*>(at));
        memcpy(x, &words, sizeof x);
      } else {
        for (int i = 0; i < 4; ++i) {
          if (pixel + i < count) x[i] = at[i];
        }
      }
      std::uint8_t* to = shared.bytes + pixel * job.channels;
      to += job.reversed ? job.channels - 1 - c : c;
      for (int i = 0; i < 4; ++i) {
        to[i * job.channels] = math::denormalize(x[i], job.scale[c], job.bias[c]);
      }
    }
  }

  EDGEDL_HD void write(int thread, std::uint8_t* to, int count, const Shared& shared) const {
    const int bytes = count * job.channels;
    const int words = is_aligned(to, 16) ? bytes / 16 : 0;
    for (int i = thread; i < words; i += kThreads) {
      store_aligned(to + 16 * i, load_aligned<Words>(shared.bytes + 16 * i));
    }
    for (int i = 16 * words + thread; i < bytes; i += kThreads) to[i] = shared.bytes[i];
  }
};

}  // namespace edgedl
