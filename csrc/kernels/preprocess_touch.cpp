#include <cstring>
#include <vector>

#include "kernels/preprocess_math.h"
#include "kernels/preprocess_rows.h"

namespace edgedl {
namespace {

// The rows of the crop that row y of the picture's place is made from.
void needed_rows(math::Method method, const Placement& at, int y, std::vector<int>& rows) {
  rows.clear();
  if (method == math::Method::kNearest) {
    rows.push_back(math::nearest_index(y, at.crop_height, at.height));
  } else if (method == math::Method::kLinear || method == math::Method::kLinearArea) {
    const math::LinearTaps taps =
        math::linear_taps(y, at.crop_height, at.height, method == math::Method::kLinearArea, false);
    rows.push_back(taps.index0);
    if (taps.weight1 != 0) rows.push_back(taps.index1);
  } else {
    const double scale = math::scale_of(at.crop_height, at.height);
    const int end = static_cast<int>((y + 1) * scale);
    for (int row = static_cast<int>(y * scale); row < end; ++row) rows.push_back(row);
  }
}

struct Reader {
  const Picture& picture;
  const Placement& at;
  const CpuKernels& kernels;
  int last = -1;
  int last_chroma = -1;
  unsigned seen = 0;

  void read(const std::uint8_t* row, int bytes_per_two_pixels) {
    seen ^= kernels.read_bytes(row + at.crop_x * bytes_per_two_pixels / 2,
                               at.crop_width * bytes_per_two_pixels / 2);
  }

  void read_row(int y) {
    if (y <= last) return;
    last = y;
    const math::Row row = math::row_at(picture.format, picture.planes, at.crop_y + y);
    switch (picture.format) {
      case SourceFormat::kBgr8:
      case SourceFormat::kRgb8:
        return read(row.a, 6);
      case SourceFormat::kYuyv:
        return read(row.a, 4);
      case SourceFormat::kGray8:
      case SourceFormat::kNv12:
      case SourceFormat::kI420:
        read(row.a, 2);
    }
    if (picture.format == SourceFormat::kGray8 || (at.crop_y + y) / 2 <= last_chroma) return;
    last_chroma = (at.crop_y + y) / 2;
    if (picture.format == SourceFormat::kNv12) return read(row.b, 2);
    read(row.b, 1);
    read(row.c, 1);
  }
};

std::size_t value_bytes(DType dtype) {
  return dtype == DType::kFloat32 ? 4 : dtype == DType::kFloat16 ? 2 : 1;
}

}  // namespace

unsigned preprocess_touch(const PreprocessPlan& plan, const Picture& picture, void* dst) {
  check_picture(plan, picture);
  const Placement at = place(plan, picture.height, picture.width);
  const math::Method method = math::method_of(plan.resize, at);
  const bool planes = plan.layout == Layout::kNchw;
  const int runs = planes ? channels_of(plan) : 1;
  const std::size_t run_bytes =
      size_of(plan.width) * size_of(channels_of(plan) / runs) * value_bytes(plan.dtype);
  const std::size_t plane_bytes = size_of(plan.height) * run_bytes;
  Reader reader{picture, at, active_target()};
  std::vector<int> rows;
  for (int y = 0; y < plan.height; ++y) {
    if (y >= at.y && y < at.y + at.height) {
      needed_rows(method, at, y - at.y, rows);
      for (const int row : rows) reader.read_row(row);
    }
    for (int c = 0; c < runs; ++c) {
      std::memset(
          static_cast<std::uint8_t*>(dst) + size_of(c) * plane_bytes + size_of(y) * run_bytes, 0,
          run_bytes);
    }
  }
  return reader.seen;
}

}  // namespace edgedl
