// What the CUDA threads of frame_difference do, in three steps: means of boxes, blur and
// comparison, dilation.
#pragma once

#include "core/grid.h"
#include "kernels/frame_difference.h"
#include "kernels/frame_difference_math.h"

namespace edgedl {

// A block takes neighbouring boxes: its threads first sum up columns, then the columns of a box.
struct BoxMeansGrid {
  FrameDifference job;
  std::uint64_t share;
  const std::uint8_t* src;
  std::uint8_t* means;

  static constexpr int kThreads = 256;
  static constexpr int kColumns = 1024;
  static constexpr int kPhases = 2;
  static_assert(kLongestBox * 3 <= kColumns);

  struct Shared {
    std::uint32_t sums[kColumns];
  };

  EDGEDL_HD int boxes_of_block() const { return kColumns / (job.box * job.channels); }
  EDGEDL_HD int width() const { return job.width / job.box; }

  Dim blocks() const { return {blocks_for(width(), boxes_of_block()), job.height / job.box, 1}; }
  Dim threads() const { return {kThreads, 1, 1}; }

  template <int Phase>
  EDGEDL_HD void phase(const Thread& thread, Shared& shared) const {
    const int first = thread.block.x * boxes_of_block();
    const int left = width() - first;
    const int boxes = left < boxes_of_block() ? left : boxes_of_block();
    if (Phase == 0) {
      sum_columns(thread, first, boxes, shared);
    } else {
      for (int b = thread.at.x; b < boxes; b += kThreads) {
        means[std::int64_t{thread.block.y} * width() + first + b] = mean(b, shared);
      }
    }
  }

  EDGEDL_HD void sum_columns(const Thread& thread, int first, int boxes, Shared& shared) const {
    const std::int64_t length = job.box * job.channels;
    for (int i = thread.at.x; i < boxes * length; i += kThreads) {
      const std::uint8_t* at = src + std::int64_t{thread.block.y} * job.box * job.step;
      std::uint32_t sum = 0;
      for (int y = 0; y < job.box; ++y) sum += at[y * job.step + first * length + i];
      shared.sums[i] = sum;
    }
  }

  EDGEDL_HD std::uint8_t mean(int b, const Shared& shared) const {
    const std::uint32_t* sums = shared.sums + b * job.box * job.channels;
    std::uint64_t weighted = 0;
    for (int c = 0; c < job.channels; ++c) {
      std::uint32_t total = 0;
      for (int i = 0; i < job.box; ++i) total += sums[i * job.channels + c];
      const int weight = c == 0 ? job.weights[0] : c == 1 ? job.weights[1] : job.weights[2];
      weighted += std::uint64_t{total} * static_cast<std::uint64_t>(weight);
    }
    return math::box_mean(weighted, share);
  }
};

// A thread has one pixel of the reduced picture.
struct ReducedPixels {
  int height, width;

  static constexpr int kThreads = 32;

  Dim blocks() const { return {blocks_for(width, kThreads), blocks_for(height, 8), 1}; }
  Dim threads() const { return {kThreads, 8, 1}; }
  EDGEDL_HD int x(const Thread& thread) const { return thread.block.x * kThreads + thread.at.x; }
  EDGEDL_HD int y(const Thread& thread) const { return thread.block.y * 8 + thread.at.y; }
  EDGEDL_HD int inside(int value, int size) const {
    return value < 0 ? 0 : value < size ? value : size - 1;
  }
};

struct BlurGrid : ReducedPixels {
  int threshold;
  const std::uint8_t* means;
  const std::uint8_t* previous;
  std::uint8_t* blurred;
  std::uint8_t* moved;

  EDGEDL_HD int across(int x, int y) const {
    const std::uint8_t* row = means + std::int64_t{inside(y, height)} * width;
    return math::blur_across(row[inside(x - 1, width)], row[x], row[inside(x + 1, width)]);
  }

  EDGEDL_HD void operator()(const Thread& thread) const {
    const int x = this->x(thread), y = this->y(thread);
    if (x >= width || y >= height) return;
    const std::int64_t at = std::int64_t{y} * width + x;
    const std::uint8_t value = math::blur_down(across(x, y - 1), across(x, y), across(x, y + 1));
    blurred[at] = value;
    moved[at] = previous != nullptr && math::differs(value, previous[at], threshold) ? 1 : 0;
  }
};

struct DilateGrid : ReducedPixels {
  int reach;
  const std::uint8_t* moved;
  std::uint8_t* changed;

  EDGEDL_HD void operator()(const Thread& thread) const {
    const int x = this->x(thread), y = this->y(thread);
    if (x >= width || y >= height) return;
    std::uint8_t any = 0;
    for (int v = inside(y - reach, height); v <= inside(y + reach, height); ++v) {
      for (int u = inside(x - reach, width); u <= inside(x + reach, width); ++u) {
        any |= moved[std::int64_t{v} * width + u];
      }
    }
    changed[std::int64_t{y} * width + x] = any;
  }
};

// Hands the three steps to `run`, one after another; scratch holds two reduced pictures.
template <class Run>
void frame_difference_steps(const FrameDifference& job, const std::uint8_t* src,
                            const std::uint8_t* previous, std::uint8_t* blurred,
                            std::uint8_t* changed, std::uint8_t* scratch, const Run& run) {
  const ReducedPixels pixels{job.height / job.box, job.width / job.box};
  std::uint8_t* moved = scratch + std::int64_t{pixels.height} * pixels.width;
  run(BoxMeansGrid{job, math::share_of_box(job.box), src, scratch});
  run(BlurGrid{pixels, job.threshold, scratch, previous, blurred, moved});
  run(DilateGrid{pixels, job.dilate, moved, changed});
}

}  // namespace edgedl
