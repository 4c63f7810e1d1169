// CUDA threads of preprocess where a pixel comes from one pixel of the source, or from four. A
// block makes its tile in three phases:
//   0. where each column and each row of the tile reads the source, and with which weights;
//   1. the tile as bytes; neighbouring threads make neighbouring pixels, so that what a warp reads
//      lies together;
//   2. the tile as it lies in the tensor.
#pragma once

#include "kernels/preprocess_pixels_grid.h"
#include "kernels/preprocess_tile_grid.h"

namespace edgedl {

// A method says what it keeps for a column and for a row (Taps), and makes three values.

struct NearestMethod {
  using Taps = int;
  static EDGEDL_HD Taps taps(int i, const math::Axis& axis, math::Method, bool /*across*/) {
    return math::nearest_index(i, axis);
  }
  template <class Pixels>
  static EDGEDL_HD void make(const Pixels& pixels, TensorChannels channels, Taps x, Taps y,
                             int* value) {
    channels(pixels.pixel(pixels.row(y), x), value);
  }
};

struct LinearMethod {
  using Taps = math::LinearTaps;
  static EDGEDL_HD Taps taps(int i, const math::Axis& axis, math::Method method, bool across) {
    return math::linear_taps(i, axis, method == math::Method::kLinearArea, across);
  }
  template <class Pixels>
  static EDGEDL_HD void make(const Pixels& pixels, TensorChannels channels, const Taps& x,
                             const Taps& y, int* value) {
    math::Rgb p[4];
    pixels.pair(pixels.row(y.index0), x.index0, x.index1, p);
    pixels.pair(pixels.row(y.index1), x.index0, x.index1, p + 2);
    int corner[4][3];
    for (int i = 0; i < 4; ++i) channels(p[i], corner[i]);
    for (int c = 0; c < 3; ++c) {
      const std::int16_t above =
          math::linear_across(corner[0][c], corner[1][c], x.weight0, x.weight1);
      const std::int16_t below =
          math::linear_across(corner[2][c], corner[3][c], x.weight0, x.weight1);
      value[c] = math::linear_down(above, below, y.weight0, y.weight1);
    }
  }
};

template <class Pixels, class Method>
struct PickGrid : PreprocessTiles<16> {
  static constexpr int kPhases = 3;

  struct Shared {
    typename Method::Taps across[kTileWidth];
    typename Method::Taps down[kTileHeight];
    alignas(16) std::uint8_t bytes[3 * kTilePixels];
  };

  template <int Phase>
  EDGEDL_HD void phase(const Thread& thread, Shared& shared) const {
    if constexpr (Phase == 0) find_taps(thread, shared);
    if constexpr (Phase == 1) make_bytes(thread, shared);
    if constexpr (Phase == 2) write(thread, shared.bytes);
  }

 private:
  EDGEDL_HD void find_taps(const Thread& thread, Shared& shared) const {
    const math::Axis* axes = frames[thread.block.z].axes;
    const TilePart part = part_of(thread.block);
    const int column = thread.at.x, row = column - kTileWidth;
    if (column < kTileWidth && part.has_column(column)) {
      shared.across[column] = Method::taps(first_x(thread.block) + column, axes[0], method, true);
    } else if (row >= 0 && part.has_row(row)) {
      shared.down[row] = Method::taps(first_y(thread.block) + row, axes[1], method, false);
    }
  }

  EDGEDL_HD void make_bytes(const Thread& thread, Shared& shared) const {
    const PreprocessFrame& frame = frames[thread.block.z];
    const Pixels pixels(plan, frame.planes, frame.at, frame.width, frame.height);
    const TilePart part = part_of(thread.block);
    const int column = thread.at.x % kTileWidth;
    for (int row = thread.at.x / kTileWidth; row < kTileHeight; row += kThreads / kTileWidth) {
      int value[3] = {plan.fill, plan.fill, plan.fill};
      if (part.has_column(column) && part.has_row(row)) {
        Method::make(pixels, channels(), shared.across[column], shared.down[row], value);
      }
      keep(row * kTileWidth + column, value, shared.bytes);
    }
  }
};

}  // namespace edgedl
