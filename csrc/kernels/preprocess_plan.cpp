// The parts of preprocess that every executor shares and that run once per plan or picture.
#include <algorithm>
#include <cmath>
#include <utility>

#include "core/error.h"
#include "kernels/preprocess.h"
#include "kernels/preprocess_math.h"

namespace edgedl {

// BT.601 limited is OpenCV's table (1.164, 1.596, 0.813, 0.391, 2.018 in truncated fixed point).
// The others follow from ITU-R BT.601-7 and BT.709-6, items 2.5 and 3: with luma weights Kr, Kg, Kb
// R = Y + 2 (1 - Kr) V, G = Y - 2 (1 - Kr) Kr / Kg V - 2 (1 - Kb) Kb / Kg U, B = Y + 2 (1 - Kb) U;
// limited range stretches Y by 255 / 219 and U, V by 255 / 224.
YuvToRgb yuv_to_rgb_coefficients(Matrix matrix, Range range) {
  if (matrix == Matrix::kBt601) {
    if (range == Range::kLimited) return {16, 1220542, 1673527, -852492, -409993, 2116026};
    return {0, 1 << 20, 1470104, -748826, -360853, 1858077};
  }
  if (range == Range::kLimited) return {16, 1220945, 1879825, -558796, -223607, 2215014};
  return {0, 1 << 20, 1651297, -490864, -196424, 1945738};
}

namespace {

bool has_half_planes(SourceFormat format) {
  return format == SourceFormat::kNv12 || format == SourceFormat::kI420;
}

// Bytes of two pixels of a row of a plane.
int two_pixels(SourceFormat format, int plane) {
  switch (format) {
    case SourceFormat::kBgr8:
    case SourceFormat::kRgb8:
      return 6;
    case SourceFormat::kYuyv:
      return 4;
    case SourceFormat::kGray8:
    case SourceFormat::kNv12:
      return 2;
    case SourceFormat::kI420:
      break;
  }
  return plane == 0 ? 2 : 1;
}

Plane from_row(const Plane& plane, int y) {
  const std::uint8_t* row = math::row_of(plane, y);
  return {row, math::row_of(plane, y + 1) - row, plane.two_rows};
}

Plane upside_down(const Plane& plane, int rows) {
  const std::uint8_t* last = math::row_of(plane, rows - 1);
  return {last, rows > 1 ? math::row_of(plane, rows - 2) - last : 0, -plane.two_rows};
}

int whole(double value, int largest) {
  return std::clamp(static_cast<int>(std::nearbyint(value)), 1, largest);
}

}  // namespace

Placement place(const PreprocessPlan& plan, int source_height, int source_width) {
  Placement at{0, 0, source_width, source_height, 0, 0, plan.width, plan.height};
  if (plan.fit == Fit::kLetterbox) {
    const double ratio = std::min(static_cast<double>(plan.height) / source_height,
                                  static_cast<double>(plan.width) / source_width);
    at.height = whole(source_height * ratio, plan.height);
    at.width = whole(source_width * ratio, plan.width);
    at.y = (plan.height - at.height) / 2;
    at.x = (plan.width - at.width) / 2;
  } else if (plan.fit == Fit::kCrop) {
    const double width = static_cast<double>(source_height * plan.width) / plan.height;
    const double height = static_cast<double>(source_width * plan.height) / plan.width;
    at.crop_width = whole(width, source_width);
    at.crop_height = whole(height, source_height);
    at.crop_x = (source_width - at.crop_width) / 2;
    at.crop_y = (source_height - at.crop_height) / 2;
  }
  return at;
}

void check_picture(const PreprocessPlan& plan, const Picture& picture) {
  const int height = picture.height;
  const int width = picture.width;
  require(picture.format == plan.source_format, "preprocess",
          "the picture must have the pixel format the plan was made for");
  require(height >= 1 && height <= kMaxSide && width >= 1 && width <= kMaxSide, "preprocess",
          "sides must be in 1..", kMaxSide, " pixels; got height ", height, ", width ", width);
  const bool planar = has_half_planes(picture.format);
  const bool paired = planar || picture.format == SourceFormat::kYuyv;
  require(!paired || width % 2 == 0, "preprocess",
          "width must be even where pixels share their colour; got height ", height, ", width ",
          width);
  require(!planar || height % 2 == 0, "preprocess",
          "height must be even where rows share their colour; got height ", height, ", width ",
          width);
}

Turn turn_of(int degrees, Flip flip) {
  Turn turn{degrees % 180 == 90, degrees == 90 || degrees == 180, degrees == 180 || degrees == 270};
  const bool of_rows = (flip == Flip::kVertical) != turn.transposed;
  if (flip != Flip::kNone && of_rows) turn.rows_reversed = !turn.rows_reversed;
  if (flip != Flip::kNone && !of_rows) turn.columns_reversed = !turn.columns_reversed;
  return turn;
}

Picture region_of(const Picture& picture, const Region& region) {
  const auto [x, y, width, height] = region;
  require(x >= 0 && y >= 0 && width >= 1 && height >= 1 && x <= picture.width - width &&
              y <= picture.height - height,
          "preprocess", "a region (x, y, width, height) must lie in the picture of width ",
          picture.width, ", height ", picture.height, "; got (", x, ", ", y, ", ", width, ", ",
          height, ")");
  const bool planar = has_half_planes(picture.format);
  const bool paired = planar || picture.format == SourceFormat::kYuyv;
  require(!paired || (x % 2 == 0 && width % 2 == 0), "preprocess",
          "x and width of a region must be even where pixels share their colour; got (", x, ", ", y,
          ", ", width, ", ", height, ")");
  require(!planar || (y % 2 == 0 && height % 2 == 0), "preprocess",
          "y and height of a region must be even where rows share their colour; got (", x, ", ", y,
          ", ", width, ", ", height, ")");
  Picture part{picture.format, height, width, {}};
  const int planes = picture.format == SourceFormat::kI420 ? 3 : planar ? 2 : 1;
  for (int i = 0; i < planes; ++i) {
    part.planes[i] = from_row(picture.planes[i], i == 0 ? y : y / 2);
    part.planes[i].data += std::ptrdiff_t{x} * two_pixels(picture.format, i) / 2;
  }
  return part;
}

Picture turned(const PreprocessPlan& plan, const Picture& picture) {
  Picture result = picture;
  if (plan.turn.rows_reversed) {
    result.planes[0] = upside_down(picture.planes[0], picture.height);
    if (has_half_planes(picture.format)) {
      for (int i = 1; i < 3; ++i) {
        result.planes[i] = upside_down(picture.planes[i], picture.height / 2);
      }
    }
  }
  if (plan.turn.transposed) std::swap(result.height, result.width);
  return result;
}

}  // namespace edgedl
