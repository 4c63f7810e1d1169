// How CUDA threads of preprocess read the source: a class for each family of formats. Each can read
//   pixel   one pixel of a row;
//   pair    two neighbours, or twice the same one;
//   group   kGroup neighbours, from where group_before says.
#pragma once

#include "core/words.h"
#include "kernels/preprocess_math.h"

namespace edgedl {

// bgr8, rgb8.
class PackedPixels {
 public:
  static constexpr int kGroup = 4;
  struct Row {
    const std::uint8_t* begin;
    const std::uint8_t* end;
  };

  EDGEDL_HD PackedPixels(const PreprocessPlan& plan, const Plane* planes, const Placement& at,
                         int width, int /*height*/)
      : plane_(planes[0]),
        at_(at),
        width_(width),
        red_(plan.source_format == SourceFormat::kRgb8 ? 0 : 2) {}

  EDGEDL_HD Row row(int y) const {
    const std::uint8_t* begin = math::row_of(plane_, at_.crop_y + y);
    return {begin, begin + 3 * width_};
  }

  EDGEDL_HD math::Rgb pixel(const Row& row, int x) const {
    const std::uint8_t* p = row.begin + 3 * (at_.crop_x + x);
    return {p[red_], p[1], p[2 - red_]};
  }

  // Pixels x0 and x1, which is x0 or its neighbour: six bytes out of aligned words where the row
  // has them, because a warp's requests count and not its bytes.
  EDGEDL_HD void pair(const Row& row, int x0, int x1, math::Rgb* p) const {
    const std::uint8_t* at = row.begin + 3 * (at_.crop_x + x0);
    const std::size_t skipped = reinterpret_cast<std::uintptr_t>(at) & 3;
    const std::uint8_t* words = at - skipped;
    if (x1 == x0 || words < row.begin || words + 12 > row.end) {
      p[0] = pixel(row, x0);
      p[1] = pixel(row, x1);
      return;
    }
    const std::uint32_t first = load_aligned<std::uint32_t>(words);
    const std::uint32_t second = load_aligned<std::uint32_t>(words + 4);
    const std::uint32_t third = skipped == 3 ? load_aligned<std::uint32_t>(words + 8) : 0;
    const std::uint32_t low = shifted(first, second, skipped);
    const std::uint32_t high = shifted(second, third, skipped);
    p[0] = rgb(low);
    p[1] = rgb(shifted(low, high, 3));
  }

  // The last pixel at or before x that begins at a word, as every fourth one does.
  EDGEDL_HD int group_before(const Row& row, int x) const {
    const auto address = reinterpret_cast<std::uintptr_t>(row.begin + 3 * (at_.crop_x + x));
    return x - static_cast<int>(3 * address & 3);
  }

  // Pixels x..x + 3 out of three words. Those before `first` and from `end` on are not asked for.
  EDGEDL_HD void group(const Row& row, int x, int first, int end, math::Rgb* p) const {
    const std::uint8_t* words = row.begin + 3 * (at_.crop_x + x);
    if (words < row.begin || words + 12 > row.end) {
      for (int i = 0; i < kGroup; ++i) {
        if (x + i >= first && x + i < end) p[i] = pixel(row, x + i);
      }
      return;
    }
    const std::uint32_t a = load_aligned<std::uint32_t>(words);
    const std::uint32_t b = load_aligned<std::uint32_t>(words + 4);
    const std::uint32_t c = load_aligned<std::uint32_t>(words + 8);
    p[0] = rgb(a);
    p[1] = rgb(shifted(a, b, 3));
    p[2] = rgb(shifted(b, c, 2));
    p[3] = rgb(c >> 8);
  }

 private:
  static EDGEDL_HD std::uint32_t shifted(std::uint32_t low, std::uint32_t high, std::size_t bytes) {
    const std::uint64_t both = static_cast<std::uint64_t>(high) << 32 | low;
    return static_cast<std::uint32_t>(both >> (8 * bytes));
  }
  EDGEDL_HD math::Rgb rgb(std::uint32_t bytes) const {
    return {byte_of(bytes, red_), byte_of(bytes, 1), byte_of(bytes, 2 - red_)};
  }

  const Plane& plane_;
  const Placement& at_;
  int width_;
  int red_;
};

class GrayPixels {
 public:
  static constexpr int kGroup = 1;
  using Row = const std::uint8_t*;

  EDGEDL_HD GrayPixels(const PreprocessPlan&, const Plane* planes, const Placement& at, int, int)
      : plane_(planes[0]), at_(at) {}

  EDGEDL_HD Row row(int y) const { return math::row_of(plane_, at_.crop_y + y) + at_.crop_x; }
  EDGEDL_HD math::Rgb pixel(Row row, int x) const { return {row[x], row[x], row[x]}; }
  EDGEDL_HD void pair(Row row, int x0, int x1, math::Rgb* p) const {
    p[0] = pixel(row, x0);
    p[1] = pixel(row, x1);
  }

  EDGEDL_HD int group_before(Row, int x) const { return x; }
  EDGEDL_HD void group(Row row, int x, int, int, math::Rgb* p) const { p[0] = pixel(row, x); }

 private:
  const Plane& plane_;
  const Placement& at_;
};

// yuyv, nv12, i420.
class YuvPixels {
 public:
  static constexpr int kGroup = 1;
  struct Row {
    const std::uint8_t* y;
    const std::uint8_t* u;
    const std::uint8_t* v;
  };

  EDGEDL_HD YuvPixels(const PreprocessPlan& plan, const Plane* planes, const Placement& at, int,
                      int)
      : yuv_(plan.yuv), format_(plan.source_format), planes_(planes), at_(at) {}

  EDGEDL_HD Row row(int y) const {
    y += at_.crop_y;
    const std::uint8_t* luma = math::row_of(planes_[0], y);
    if (format_ == SourceFormat::kYuyv) return {luma, luma + 1, luma + 3};
    const std::uint8_t* u = math::row_of(planes_[1], y >> 1);
    if (format_ == SourceFormat::kNv12) return {luma, u, u + 1};
    return {luma, u, math::row_of(planes_[2], y >> 1)};
  }

  EDGEDL_HD math::Rgb pixel(const Row& row, int x) const {
    x += at_.crop_x;
    const int chroma = (x >> 1) * chroma_step();
    const int luma = x * (format_ == SourceFormat::kYuyv ? 2 : 1);
    return math::yuv_to_rgb(yuv_, row.y[luma], row.u[chroma], row.v[chroma]);
  }
  EDGEDL_HD void pair(const Row& row, int x0, int x1, math::Rgb* p) const {
    p[0] = pixel(row, x0);
    p[1] = pixel(row, x1);
  }

  EDGEDL_HD int group_before(const Row&, int x) const { return x; }
  EDGEDL_HD void group(const Row& row, int x, int, int, math::Rgb* p) const {
    p[0] = pixel(row, x);
  }

 private:
  EDGEDL_HD int chroma_step() const {
    return format_ == SourceFormat::kYuyv ? 4 : format_ == SourceFormat::kNv12 ? 2 : 1;
  }

  const YuvToRgb& yuv_;
  SourceFormat format_;
  const Plane* planes_;
  const Placement& at_;
};

// Any format, transposed or with its columns reversed.
class TurnedPixels {
 public:
  static constexpr int kGroup = 1;
  using Row = int;

  EDGEDL_HD TurnedPixels(const PreprocessPlan& plan, const Plane* planes, const Placement& at,
                         int width, int height)
      : plan_(plan),
        planes_(planes),
        at_(at),
        last_column_((plan.turn.transposed ? height : width) - 1) {}

  EDGEDL_HD Row row(int y) const { return at_.crop_y + y; }
  EDGEDL_HD math::Rgb pixel(Row y, int x) const {
    x += at_.crop_x;
    int column = plan_.turn.transposed ? y : x;
    if (plan_.turn.columns_reversed) column = last_column_ - column;
    const SourceFormat format = plan_.source_format;
    const math::Row row = math::row_at(format, planes_, plan_.turn.transposed ? x : y);
    return math::to_rgb(format, plan_.yuv, math::read(format, row, column));
  }
  EDGEDL_HD void pair(Row row, int x0, int x1, math::Rgb* p) const {
    p[0] = pixel(row, x0);
    p[1] = pixel(row, x1);
  }

  EDGEDL_HD int group_before(Row, int x) const { return x; }
  EDGEDL_HD void group(Row row, int x, int, int, math::Rgb* p) const { p[0] = pixel(row, x); }

 private:
  const PreprocessPlan& plan_;
  const Plane* planes_;
  const Placement& at_;
  int last_column_;
};

}  // namespace edgedl
