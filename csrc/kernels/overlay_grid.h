// What the CUDA threads of overlay do: each has one pixel of the picture.
#pragma once

#include "core/grid.h"
#include "kernels/overlay.h"
#include "kernels/overlay_math.h"

namespace edgedl {

// The part of a picture that something covers, in tiles of 32 x 8 pixels.
struct CanvasTiles {
  Canvas canvas;
  math::Span columns, rows;

  static constexpr int kWidth = 32, kHeight = 8;

  Dim blocks() const {
    return {blocks_for(columns.end - columns.begin, kWidth),
            blocks_for(rows.end - rows.begin, kHeight), 1};
  }
  Dim threads() const { return {kWidth, kHeight, 1}; }

  EDGEDL_HD int left(const Thread& thread) const { return columns.begin + thread.block.x * kWidth; }
  EDGEDL_HD int top(const Thread& thread) const { return rows.begin + thread.block.y * kHeight; }
  EDGEDL_HD int x(const Thread& thread) const { return left(thread) + thread.at.x; }
  EDGEDL_HD int y(const Thread& thread) const { return top(thread) + thread.at.y; }
  EDGEDL_HD bool has(int x, int y) const { return x < columns.end && y < rows.end; }

  EDGEDL_HD void blend(int x, int y, const std::uint8_t* color, int alpha) const {
    std::uint8_t* at = canvas.data + y * canvas.step + std::int64_t{3} * x;
    for (int c = 0; c < 3; ++c) at[c] = math::blended(at[c], color[c], alpha);
  }
};

inline CanvasTiles tiles_of(const Canvas& canvas, const Placing& at) {
  return {canvas, math::inside(at.x, at.width, canvas.width),
          math::inside(at.y, at.height, canvas.height)};
}

// A block first finds out which of up to 256 boxes meet its tile, then draws these in their order.
struct OverlayBoxesGrid : CanvasTiles {
  OverlayBoxes boxes;

  static constexpr int kMostBoxes = kWidth * kHeight;
  static constexpr int kPhases = 2;

  struct Shared {
    std::uint8_t meets[kMostBoxes];
  };

  template <int Phase>
  EDGEDL_HD void phase(const Thread& thread, Shared& shared) const {
    if constexpr (Phase == 0) {
      const int k = thread.at.y * kWidth + thread.at.x;
      if (k < boxes.count) shared.meets[k] = meets(thread, boxes.corners + 4 * k) ? 1 : 0;
    } else {
      draw(x(thread), y(thread), shared);
    }
  }

 private:
  EDGEDL_HD bool meets(const Thread& thread, const std::int32_t* corners) const {
    return corners[0] < left(thread) + kWidth && corners[2] > left(thread) &&
           corners[1] < top(thread) + kHeight && corners[3] > top(thread);
  }

  EDGEDL_HD void draw(int x, int y, const Shared& shared) const {
    if (!has(x, y)) return;
    for (int k = 0; k < boxes.count; ++k) {
      if (shared.meets[k] == 0) continue;
      const std::int32_t* box = boxes.corners + 4 * k;
      const bool is_inside = x >= box[0] && x < box[2] && y >= box[1] && y < box[3];
      if (!is_inside || math::hole_of(box, boxes.thickness).has(x, y)) continue;
      blend(x, y, boxes.colors + 3 * k, boxes.alpha);
    }
  }
};

struct OverlayMaskGrid : CanvasTiles {
  OverlayMask mask;

  EDGEDL_HD void operator()(const Thread& thread) const {
    const int x = this->x(thread), y = this->y(thread);
    if (!has(x, y)) return;
    const std::int64_t from = std::int64_t{y - mask.at.y} * mask.at.width + x - mask.at.x;
    blend(x, y, mask.color, math::share_of_255(mask.coverage[from] * mask.alpha));
  }
};

struct OverlayHeatGrid : CanvasTiles {
  OverlayHeat heat;
  float ratio_x, ratio_y;

  EDGEDL_HD float across(int row, const math::HeatPosition& at) const {
    const float* values = heat.heat + std::int64_t{row} * heat.columns;
    return math::heat_between(math::heat_value(values[at.first]),
                              math::heat_value(values[at.second]), at.fraction);
  }

  EDGEDL_HD void operator()(const Thread& thread) const {
    const int x = this->x(thread), y = this->y(thread);
    if (!has(x, y)) return;
    const auto column = math::heat_position(x - heat.at.x, ratio_x, heat.columns);
    const auto row = math::heat_position(y - heat.at.y, ratio_y, heat.rows);
    const float value =
        math::heat_between(across(row.first, column), across(row.second, column), row.fraction);
    blend(x, y, heat.colors + 3 * math::heat_level(value), heat.alpha);
  }
};

inline bool is_empty(const CanvasTiles& tiles) {
  return tiles.columns.begin >= tiles.columns.end || tiles.rows.begin >= tiles.rows.end;
}

// Hands the kernels to `run`, one after another.
template <class Run>
void overlay_on_grid(const Canvas& canvas, const OverlayBoxes& boxes, const Run& run) {
  const CanvasTiles tiles = tiles_of(canvas, {0, 0, canvas.width, canvas.height});
  if (is_empty(tiles)) return;
  constexpr int kMost = OverlayBoxesGrid::kMostBoxes;
  for (std::ptrdiff_t first = 0; first < boxes.count; first += kMost) {
    OverlayBoxes some = boxes;
    some.count = static_cast<int>(boxes.count - first < kMost ? boxes.count - first : kMost);
    some.corners += 4 * first;
    some.colors += 3 * first;
    run(OverlayBoxesGrid{tiles, some});
  }
}

template <class Run>
void overlay_on_grid(const Canvas& canvas, const OverlayMask& mask, const Run& run) {
  const CanvasTiles tiles = tiles_of(canvas, mask.at);
  if (!is_empty(tiles)) run(OverlayMaskGrid{tiles, mask});
}

template <class Run>
void overlay_on_grid(const Canvas& canvas, const OverlayHeat& heat, const Run& run) {
  const CanvasTiles tiles = tiles_of(canvas, heat.at);
  if (is_empty(tiles)) return;
  run(OverlayHeatGrid{tiles, heat,
                      static_cast<float>(heat.columns) / static_cast<float>(heat.at.width),
                      static_cast<float>(heat.rows) / static_cast<float>(heat.at.height)});
}

}  // namespace edgedl
