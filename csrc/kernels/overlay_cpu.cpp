#include <cstddef>
#include <utility>
#include <vector>

#include "kernels/overlay.h"
#include "kernels/overlay_math.h"
#include "simd/targets.h"

namespace edgedl {
namespace {

std::uint8_t* pixel(const Canvas& canvas, int x, int y) {
  return canvas.data + y * canvas.step + std::ptrdiff_t{3} * x;
}

void draw_box(const Canvas& canvas, const std::int32_t* corners, const std::uint8_t* color,
              int thickness, int alpha) {
  const OverlayColor draw = active_target().overlay_color;
  const auto fill = [&](math::Span columns, math::Span rows) {
    if (columns.begin >= columns.end || rows.begin >= rows.end) return;
    draw(pixel(canvas, columns.begin, rows.begin), canvas.step, rows.end - rows.begin,
         columns.end - columns.begin, color, alpha);
  };
  const std::int64_t x1 = corners[0], y1 = corners[1];
  const math::Span columns = math::inside(x1, corners[2] - x1, canvas.width);
  const math::Span rows = math::inside(y1, corners[3] - y1, canvas.height);
  const math::Hole hole = math::hole_of(corners, thickness);
  if (hole.x1 >= hole.x2 || hole.y1 >= hole.y2) return fill(columns, rows);
  const math::Span kept = math::inside(hole.x1, hole.x2 - hole.x1, canvas.width);
  const math::Span between = math::inside(hole.y1, hole.y2 - hole.y1, canvas.height);
  fill(columns, {rows.begin, between.begin});
  fill({columns.begin, kept.begin}, between);
  fill({kept.end, columns.end}, between);
  fill(columns, {between.end, rows.end});
}

// Rows of a heat map as wide as its place in the picture; two are kept, as most are needed again.
class StretchedRows {
 public:
  StretchedRows(const OverlayHeat& heat, math::Span columns) : heat_(heat) {
    const float ratio = static_cast<float>(heat.columns) / static_cast<float>(heat.at.width);
    for (int x = columns.begin; x < columns.end; ++x) {
      positions_.push_back(math::heat_position(x - heat.at.x, ratio, heat.columns));
    }
    for (Row& row : kept_) row.values.resize(positions_.size());
  }

  OverlayHeatRows at(const math::HeatPosition& position) {
    if (kept_[1].index == position.first) std::swap(kept_[0], kept_[1]);
    return {row(kept_[0], position.first), row(kept_[1], position.second), position.fraction};
  }

 private:
  struct Row {
    int index = -1;
    std::vector<float> values;
  };

  const float* row(Row& row, int index) {
    if (row.index == index) return row.values.data();
    row.index = index;
    const float* from = heat_.heat + static_cast<std::ptrdiff_t>(index) * heat_.columns;
    for (std::size_t i = 0; i < positions_.size(); ++i) {
      const math::HeatPosition& at = positions_[i];
      row.values[i] = math::heat_between(math::heat_value(from[at.first]),
                                         math::heat_value(from[at.second]), at.fraction);
    }
    return row.values.data();
  }

  const OverlayHeat& heat_;
  std::vector<math::HeatPosition> positions_;
  Row kept_[2];
};

}  // namespace

void overlay_cpu(const Canvas& canvas, const OverlayBoxes& boxes) {
  for (std::ptrdiff_t k = 0; k < boxes.count; ++k) {
    draw_box(canvas, boxes.corners + 4 * k, boxes.colors + 3 * k, boxes.thickness, boxes.alpha);
  }
}

void overlay_cpu(const Canvas& canvas, const OverlayMask& mask) {
  const Placing& at = mask.at;
  const math::Span columns = math::inside(at.x, at.width, canvas.width);
  const math::Span rows = math::inside(at.y, at.height, canvas.height);
  const OverlayCovered covered = active_target().overlay_covered;
  for (int y = rows.begin; y < rows.end && columns.begin < columns.end; ++y) {
    const std::ptrdiff_t from = std::ptrdiff_t{y - at.y} * at.width + columns.begin - at.x;
    covered(pixel(canvas, columns.begin, y), mask.coverage + from, columns.end - columns.begin,
            mask.color, mask.alpha);
  }
}

void overlay_cpu(const Canvas& canvas, const OverlayHeat& heat) {
  const math::Span columns = math::inside(heat.at.x, heat.at.width, canvas.width);
  const math::Span rows = math::inside(heat.at.y, heat.at.height, canvas.height);
  const float ratio = static_cast<float>(heat.rows) / static_cast<float>(heat.at.height);
  const OverlayHeatLine line = active_target().overlay_heat_line;
  StretchedRows stretched(heat, columns);
  for (int y = rows.begin; y < rows.end; ++y) {
    const auto position = math::heat_position(y - heat.at.y, ratio, heat.rows);
    line(pixel(canvas, columns.begin, y), stretched.at(position), columns.end - columns.begin,
         heat.colors, heat.alpha);
  }
}

}  // namespace edgedl
