// CUDA threads of preprocess where a pixel is the mean of many of the source (area). The definition
// adds up each row of a cell from left to right and then the rows, and so do they; but rows of the
// source are added up side by side, and each of its pixels is read and converted once for all cells
// that it is under. A block makes its tile in these phases:
//   0. which columns and rows each cell covers, and with which weights;
//   1. what of the source lies under the tile, and how much of it fits into shared memory;
//   then, in rounds, from top to bottom:
//   2. neighbouring threads bring neighbouring pixels into shared memory;
//   3. a warp takes a row of the source, a thread the part of it under one cell;
//   4. the sums of these rows are added up down the cells;
//   at last:
//   5. the tile as bytes; 6. the tile as it lies in the tensor.
#pragma once

#include "kernels/preprocess_pixels_grid.h"
#include "kernels/preprocess_tile_grid.h"

namespace edgedl {

template <class Pixels>
struct AverageGrid : PreprocessTiles<4> {
  static constexpr int kPhases = 7;
  static constexpr int kRoundBegin = 2, kRoundEnd = 5;

  static constexpr int kWarp = 32;
  static constexpr int kWarps = kThreads / kWarp;
  static constexpr int kHeldPixels = 2560;
  static constexpr int kHeldRows = 16;
  static_assert(kTileWidth == kWarp);

  // The pixels under the tile, and how many of them a round takes.
  struct Window {
    int x, y, width, height;
    int columns, rows;
    int strips;  // as many rounds are needed for all columns
  };

  struct Shared {
    math::AreaTaps across[kTileWidth];
    math::AreaTaps down[kTileHeight];
    Window window;
    std::uint32_t pixels[kHeldPixels + kHeldPixels / kWarp];
    float rows[kHeldRows][3][kTileWidth];           // sums across the cells
    float means[kTileHeight][3][kTileWidth];        // of cells whose pixels differ in weight
    std::int64_t sums[kTileHeight][3][kTileWidth];  // of boxes of whole pixels: these are exact
    alignas(16) std::uint8_t bytes[3 * kTilePixels];
  };

  EDGEDL_HD int rounds(const Shared& shared) const {
    const Window& window = shared.window;
    return window.height == 0 ? 0 : (window.height + window.rows - 1) / window.rows * window.strips;
  }

  template <int Phase>
  EDGEDL_HD void phase(const Thread& thread, Shared& shared) const {
    if constexpr (Phase == 0) find_taps(thread, shared);
    if constexpr (Phase == 1) find_window(thread, shared);
    if constexpr (Phase == 5) make_bytes(thread, shared);
    if constexpr (Phase == 6) write(thread, shared.bytes);
  }

  template <int Phase>
  EDGEDL_HD void phase(const Thread& thread, Shared& shared, int round) const {
    const Held held = held_of(shared.window, round);
    if constexpr (Phase == 2) load(thread, held, shared);
    if constexpr (Phase == 3) add_across(thread, held, shared);
    if constexpr (Phase == 4) add_down(thread, held, shared);
  }

 private:
  // What is in shared memory in a round: rows y..bottom - 1, columns x..right - 1.
  struct Held {
    int x, right, y, bottom;
    EDGEDL_HD int rows() const { return bottom - y; }
    // Threads whose cells lie a power of two apart would all read the same bank: hence a gap.
    EDGEDL_HD int place(int row, int column) const {
      const int i = row * (right - x) + column - x;
      return i + i / kWarp;
    }
  };

  EDGEDL_HD static int smaller(int a, int b) { return a < b ? a : b; }
  EDGEDL_HD static int larger(int a, int b) { return a > b ? a : b; }

  EDGEDL_HD static Held held_of(const Window& window, int round) {
    const int x = window.x + round % window.strips * window.columns;
    const int y = window.y + round / window.strips * window.rows;
    return {x, smaller(x + window.columns, window.x + window.width), y,
            smaller(y + window.rows, window.y + window.height)};
  }

  EDGEDL_HD bool is_box() const { return method == math::Method::kBox; }

  EDGEDL_HD math::AreaTaps taps(int i, const math::Axis& axis) const {
    if (!is_box()) return math::area_taps(i, axis);
    const int count = axis.source / axis.target;
    return {i * count, count, 1.0f, 1.0f, 1.0f};
  }

  EDGEDL_HD void find_taps(const Thread& thread, Shared& shared) const {
    const math::Axis* axes = frames[thread.block.z].axes;
    const TilePart part = part_of(thread.block);
    const int column = thread.at.x, row = column - kTileWidth;
    if (column < kTileWidth && part.has_column(column)) {
      shared.across[column] = taps(first_x(thread.block) + column, axes[0]);
    } else if (row >= 0 && part.has_row(row)) {
      shared.down[row] = taps(first_y(thread.block) + row, axes[1]);
    }
  }

  EDGEDL_HD void find_window(const Thread& thread, Shared& shared) const {
    if (thread.at.x != 0) return;
    Window& window = shared.window;
    window = {0, 0, 0, 0, 1, 1, 1};
    const TilePart part = part_of(thread.block);
    if (part.is_empty()) return;
    const math::AreaTaps& right = shared.across[part.right - 1];
    const math::AreaTaps& bottom = shared.down[part.bottom - 1];
    window.x = shared.across[part.left].first;
    window.y = shared.down[part.top].first;
    window.width = right.first + right.count - window.x;
    window.height = bottom.first + bottom.count - window.y;
    window.columns = smaller(window.width, kHeldPixels);
    window.rows = smaller(kHeldPixels / window.columns, kHeldRows);
    window.strips = (window.width + window.columns - 1) / window.columns;
  }

  EDGEDL_HD void load(const Thread& thread, const Held& held, Shared& shared) const {
    const PreprocessFrame& frame = frames[thread.block.z];
    const Pixels pixels(plan, frame.planes, frame.at, frame.width, frame.height);
    const TensorChannels channels = this->channels();
    constexpr int kGroup = Pixels::kGroup;
    const int warp = thread.at.x / kWarp;
    const int warps_of_row = larger(1, kWarps / held.rows());
    const int lane = thread.at.x % kWarp + warp % warps_of_row * kWarp;
    for (int r = warp / warps_of_row; r < held.rows(); r += kWarps / warps_of_row) {
      const auto row = pixels.row(held.y + r);
      int x = pixels.group_before(row, held.x) + kGroup * lane;
      for (; x < held.right; x += kGroup * warps_of_row * kWarp) {
        math::Rgb p[kGroup] = {};
        pixels.group(row, x, held.x, held.right, p);
        for (int i = 0; i < kGroup; ++i) {
          if (x + i < held.x || x + i >= held.right) continue;
          int value[3];
          channels(p[i], value);
          const int word = value[0] | value[1] << 8 | value[2] << 16;
          shared.pixels[held.place(r, x + i)] = static_cast<std::uint32_t>(word);
        }
      }
    }
  }

  EDGEDL_HD void add_across(const Thread& thread, const Held& held, Shared& shared) const {
    const int column = thread.at.x % kWarp;
    if (!part_of(thread.block).has_column(column)) return;
    const math::AreaTaps& taps = shared.across[column];
    const int last = taps.first + taps.count - 1;
    const int begin = larger(taps.first, held.x), end = smaller(last + 1, held.right);
    if (begin >= end) return;
    for (int r = thread.at.x / kWarp; r < held.rows(); r += kWarps) {
      float sum[3] = {};
      if (begin > taps.first) {
        for (int c = 0; c < 3; ++c) sum[c] = shared.rows[r][c][column];
      }
      int x = begin;
      if (x == taps.first) add(shared.pixels[held.place(r, x++)], taps.head, sum);
      for (; x < smaller(end, last); ++x) add(shared.pixels[held.place(r, x)], taps.inner, sum);
      if (x < end) add(shared.pixels[held.place(r, x)], taps.tail, sum);
      for (int c = 0; c < 3; ++c) shared.rows[r][c][column] = sum[c];
    }
  }

  EDGEDL_HD static void add(std::uint32_t pixel, float weight, float* sum) {
    for (int c = 0; c < 3; ++c) {
      const float share = static_cast<float>(byte_of(pixel, c)) * weight;
      sum[c] = sum[c] + share;
    }
  }

  EDGEDL_HD void add_down(const Thread& thread, const Held& held, Shared& shared) const {
    const TilePart part = part_of(thread.block);
    const int column = thread.at.x % kWarp;
    if (!part.has_column(column) || held.right < shared.window.x + shared.window.width) return;
    for (int i = thread.at.x / kWarp; i < channels_of(plan) * kTileHeight; i += kWarps) {
      const int row = i % kTileHeight, c = i / kTileHeight;
      if (!part.has_row(row)) continue;
      const math::AreaTaps& taps = shared.down[row];
      const int begin = larger(taps.first, held.y);
      const int end = smaller(taps.first + taps.count, held.bottom);
      if (begin >= end) continue;
      const bool is_first = begin == taps.first;
      if (is_box()) {
        std::int64_t sum = is_first ? 0 : shared.sums[row][c][column];
        for (int y = begin; y < end; ++y) {
          sum += static_cast<std::int32_t>(shared.rows[y - held.y][c][column]);
        }
        shared.sums[row][c][column] = sum;
      } else {
        float sum = is_first ? 0.0f : shared.means[row][c][column];
        for (int y = begin; y < end; ++y) {
          const float share = shared.rows[y - held.y][c][column] * taps.weight(y - taps.first);
          sum = sum + share;
        }
        shared.means[row][c][column] = sum;
      }
    }
  }

  EDGEDL_HD void make_bytes(const Thread& thread, Shared& shared) const {
    if (thread.at.x >= kTilePixels) return;
    const TilePart part = part_of(thread.block);
    const int column = thread.at.x % kTileWidth, row = thread.at.x / kTileWidth;
    int value[3] = {plan.fill, plan.fill, plan.fill};
    if (part.has_column(column) && part.has_row(row)) {
      for (int c = 0; c < channels_of(plan); ++c) value[c] = mean(shared, row, c, column);
    }
    keep(thread.at.x, value, shared.bytes);
  }

  EDGEDL_HD int mean(const Shared& shared, int row, int c, int column) const {
    if (!is_box()) return math::area_round(shared.means[row][c][column]);
    const float sum = static_cast<float>(shared.sums[row][c][column]);
    return math::box_mean(sum, shared.across[column].count, shared.down[row].count);
  }
};

}  // namespace edgedl
