#include "kernels/preprocess_writer.h"

namespace edgedl {

TensorWriter::TensorWriter(const PreprocessPlan& plan, void* dst)
    : plan_(plan), kernels_(active_target()), dst_(dst) {
  const bool planes = plan.layout == Layout::kNchw;
  pixel_step_ = planes ? 1 : channels_of(plan);
  channel_step_ = planes ? static_cast<std::ptrdiff_t>(plan.height) * plan.width : 1;
}

void TensorWriter::write(int y, int x, int count, const std::uint8_t* line, int pitch) const {
  const std::ptrdiff_t pixel = static_cast<std::ptrdiff_t>(y) * plan_.width + x;
  for (int c = 0; c < channels_of(plan_); ++c) {
    write_channel(c, c * channel_step_ + pixel * pixel_step_, count, line + c * pitch);
  }
}

void TensorWriter::write_channel(int c, std::ptrdiff_t at, int count,
                                 const std::uint8_t* value) const {
  const float scale = plan_.scale[c];
  const float bias = plan_.bias[c];
  switch (plan_.dtype) {
    case DType::kFloat32:
      return kernels_.write_float32(value, count, scale, bias, static_cast<float*>(dst_) + at,
                                    pixel_step_);
    case DType::kFloat16:
      return kernels_.write_float16(value, count, scale, bias,
                                    static_cast<std::uint16_t*>(dst_) + at, pixel_step_);
    case DType::kUint8:
      return kernels_.write_uint8(value, count, static_cast<std::uint8_t*>(dst_) + at, pixel_step_);
    case DType::kInt8:
      return kernels_.write_int8(value, count, scale, bias, static_cast<std::int8_t*>(dst_) + at,
                                 pixel_step_);
  }
}

void write_padding(const PreprocessPlan& plan, const Placement& at, int begin, int end,
                   const TensorWriter& writer) {
  const Line fill(size_of(pitch_of(plan.width)), static_cast<std::uint8_t>(plan.fill));
  const int right = at.x + at.width;
  for (int y = begin; y < end; ++y) {
    if (y < at.y || y >= at.y + at.height) {
      writer.write(y, 0, plan.width, fill.data(), 0);
    } else {
      writer.write(y, 0, at.x, fill.data(), 0);
      writer.write(y, right, plan.width - right, fill.data(), 0);
    }
  }
}

}  // namespace edgedl
