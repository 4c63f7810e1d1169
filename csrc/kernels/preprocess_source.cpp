#include "kernels/preprocess_math.h"
#include "kernels/preprocess_rows.h"

namespace edgedl {
namespace {

// Which place each channel of the tensor has in a pixel r, g, b.
Channels order_of(const PreprocessPlan& plan, bool reversed, std::ptrdiff_t apart, int step) {
  if (channels_of(plan) == 1) return {1, step, {0, 0, 0}};
  const std::ptrdiff_t first = reversed ? 2 * apart : 0;
  return {3, step, {first, apart, 2 * apart - first}};
}

}  // namespace

SourceRows::SourceRows(const PreprocessPlan& plan, const Picture& picture, const Placement& at,
                       const std::vector<int>& columns, int held)
    : plan_(plan),
      picture_(picture),
      at_(at),
      columns_(columns),
      kernels_(active_target()),
      count_(columns.empty() ? at.crop_width : static_cast<int>(columns.size())),
      pitch_(pitch_of(count_)) {
  const bool to_bgr = plan.pixel_format == PixelFormat::kBgr8;
  if (converts(plan)) {
    channels_ = order_of(plan, to_bgr, pitch_, 1);
    lines_.resize(size_of(held * 3 * pitch_));
  } else if (plan.source_format == SourceFormat::kGray8) {
    channels_ = order_of(plan, false, 0, 1);
  } else {
    channels_ = order_of(plan, (plan.source_format == SourceFormat::kBgr8) != to_bgr, 1, 3);
  }
}

const std::uint8_t* SourceRows::row(int y) {
  if (!converts(plan_)) {
    return math::row_of(picture_.planes[0], at_.crop_y + y) + at_.crop_x * channels_.step;
  }
  std::uint8_t* a = lines_.data() + next_;
  next_ = (next_ + size_of(3 * pitch_)) % lines_.size();
  read_components(at_.crop_y + y, a);
  std::uint8_t* b = a + pitch_;
  std::uint8_t* c = b + pitch_;
  if (picture_.format != SourceFormat::kBgr8 && picture_.format != SourceFormat::kRgb8) {
    kernels_.yuv_to_rgb_line(plan_.yuv, a, b, c, count_, a, b, c);
  }
  if (channels_.count == 1) kernels_.gray_line(a, b, c, count_, a);
  return a;
}

// out[i] = the component of pixel i, of which 1 << shift pixels share one
void SourceRows::gather(const std::uint8_t* from, int step, int shift, std::uint8_t* out) const {
  const int first = at_.crop_x;
  if (columns_.empty()) {
    for (int i = 0; i < count_; ++i) out[i] = from[((first + i) >> shift) * step];
  } else {
    const int* column = columns_.data();
    for (int i = 0; i < count_; ++i) out[i] = from[((first + column[i]) >> shift) * step];
  }
}

// Y, U, V or R, G, B of a row of the picture, each to its own plane
void SourceRows::read_components(int y, std::uint8_t* line) const {
  const math::Row row = math::row_at(picture_, y);
  std::uint8_t* a = line;
  std::uint8_t* b = a + pitch_;
  std::uint8_t* c = b + pitch_;
  switch (picture_.format) {
    case SourceFormat::kBgr8:
    case SourceFormat::kRgb8: {
      const int red = picture_.format == SourceFormat::kRgb8 ? 0 : 2;
      gather(row.a + red, 3, 0, a);
      gather(row.a + 1, 3, 0, b);
      gather(row.a + 2 - red, 3, 0, c);
      return;
    }
    case SourceFormat::kYuyv:
      gather(row.a, 2, 0, a);
      gather(row.a + 1, 4, 1, b);
      gather(row.a + 3, 4, 1, c);
      return;
    case SourceFormat::kNv12:
      gather(row.a, 1, 0, a);
      gather(row.b, 2, 1, b);
      gather(row.b + 1, 2, 1, c);
      return;
    case SourceFormat::kI420:
      gather(row.a, 1, 0, a);
      gather(row.b, 1, 1, b);
      gather(row.c, 1, 1, c);
      return;
    case SourceFormat::kGray8:
      return;  // never converted
  }
}

}  // namespace edgedl
