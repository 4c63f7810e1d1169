#include "kernels/preprocess_writer.h"

#include <cstring>

namespace edgedl {

namespace {

std::size_t value_bytes(DType dtype) {
  return dtype == DType::kFloat32 ? 4 : dtype == DType::kFloat16 ? 2 : 1;
}

// For `count` channels from the first one on.
Scales scales_of(const PreprocessPlan& plan, int first, int count) {
  Scales scales;
  scales.count = count;
  for (int i = 0; i < Scales::kPeriod; ++i) {
    scales.scale[i] = plan.scale[first + i % count];
    scales.bias[i] = plan.bias[first + i % count];
  }
  return scales;
}

}  // namespace

TensorWriter::TensorWriter(const PreprocessPlan& plan, void* dst)
    : plan_(plan),
      kernels_(active_target()),
      dst_(dst),
      has_planes_(plan.layout == Layout::kNchw || channels_of(plan) == 1),
      plane_(static_cast<std::ptrdiff_t>(plan.height) * plan.width),
      pixels_(has_planes_ ? 0 : size_of(3 * std::ptrdiff_t{plan.width})) {
  const int together = has_planes_ ? 1 : channels_of(plan);
  for (int c = 0; c < channels_of(plan); c += together) scales_[c] = scales_of(plan, c, together);
}

PlaneRow TensorWriter::planes(int y, int x) const {
  const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(y) * plan_.width + x;
  return {plan_.dtype, static_cast<std::uint8_t*>(dst_) + size_of(at) * value_bytes(plan_.dtype),
          plane_, plan_.scale, plan_.bias};
}

void TensorWriter::write(int y, int x, int count, const std::uint8_t* line, int pitch) {
  if (count == 0) return;
  const std::ptrdiff_t pixel = static_cast<std::ptrdiff_t>(y) * plan_.width + x;
  if (has_planes_) {
    for (int c = 0; c < channels_of(plan_); ++c) {
      write_values(line + c * pitch, count, scales_[c], c * plane_ + pixel);
    }
    return;
  }
  const bool bytes = plan_.dtype == DType::kUint8;
  std::uint8_t* pixels = bytes ? static_cast<std::uint8_t*>(dst_) + 3 * pixel : pixels_.data();
  kernels_.interleave_line(line, pitch, count, pixels);
  if (bytes) return;
  write_values(pixels, 3 * count, scales_[0], 3 * pixel);
}

void TensorWriter::write_values(const std::uint8_t* value, int count, const Scales& scales,
                                std::ptrdiff_t at) const {
  switch (plan_.dtype) {
    case DType::kFloat32:
      return kernels_.write_float32(value, count, scales, static_cast<float*>(dst_) + at);
    case DType::kFloat16:
      return kernels_.write_float16(value, count, scales, static_cast<std::uint16_t*>(dst_) + at);
    case DType::kUint8:
      std::memcpy(static_cast<std::uint8_t*>(dst_) + at, value, size_of(count));
      return;
    case DType::kInt8:
      return kernels_.write_int8(value, count, scales, static_cast<std::int8_t*>(dst_) + at);
  }
}

void write_padding(const PreprocessPlan& plan, const Placement& at, int begin, int end,
                   TensorWriter& writer) {
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
