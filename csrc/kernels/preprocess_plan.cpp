// The parts of preprocess that every executor shares and that run once per plan or picture.
#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "kernels/preprocess.h"

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
  const bool planar =
      picture.format == SourceFormat::kNv12 || picture.format == SourceFormat::kI420;
  const bool paired = planar || picture.format == SourceFormat::kYuyv;
  require(!paired || width % 2 == 0, "preprocess",
          "width must be even where pixels share their colour; got height ", height, ", width ",
          width);
  require(!planar || height % 2 == 0, "preprocess",
          "height must be even where rows share their colour; got height ", height, ", width ",
          width);
}

}  // namespace edgedl
