// One pixel of the tensor from nothing but the plan: what a CUDA thread does.
#pragma once

#include "kernels/preprocess_math.h"

namespace edgedl::math {

struct Job {
  PreprocessPlan plan;
  Picture picture;
  Placement at;
  Method method;
};

// The channels of the source pixel (x, y) of the crop.
EDGEDL_HD void source_channels(const Job& job, int x, int y, int* value) {
  const Row row = row_at(job.picture, job.at.crop_y + y);
  const Rgb p = read(job.picture.format, job.plan.yuv, row, job.at.crop_x + x);
  to_channels(job.plan.pixel_format, p, value);
}

EDGEDL_HD void linear_pixel(const Job& job, int x, int y, int* value) {
  const bool area = job.method == Method::kLinearArea;
  const LinearTaps tx = linear_taps(x, job.at.crop_width, job.at.width, area, true);
  const LinearTaps ty = linear_taps(y, job.at.crop_height, job.at.height, area, false);
  int corner[2][2][3] = {};
  source_channels(job, tx.index0, ty.index0, corner[0][0]);
  source_channels(job, tx.index1, ty.index0, corner[0][1]);
  source_channels(job, tx.index0, ty.index1, corner[1][0]);
  source_channels(job, tx.index1, ty.index1, corner[1][1]);
  for (int c = 0; c < 3; ++c) {
    const std::int16_t above =
        linear_across(corner[0][0][c], corner[0][1][c], tx.weight0, tx.weight1);
    const std::int16_t below =
        linear_across(corner[1][0][c], corner[1][1][c], tx.weight0, tx.weight1);
    value[c] = linear_down(above, below, ty.weight0, ty.weight1);
  }
}

EDGEDL_HD void box_pixel(const Job& job, int x, int y, int* value) {
  const int box_width = job.at.crop_width / job.at.width;
  const int box_height = job.at.crop_height / job.at.height;
  int sum[3] = {};
  for (int j = 0; j < box_height; ++j) {
    for (int i = 0; i < box_width; ++i) {
      int p[3] = {};
      source_channels(job, x * box_width + i, y * box_height + j, p);
      for (int c = 0; c < 3; ++c) sum[c] += p[c];
    }
  }
  for (int c = 0; c < 3; ++c) value[c] = box_mean(sum[c], box_width, box_height);
}

EDGEDL_HD void area_pixel(const Job& job, int x, int y, int* value) {
  const AreaTaps tx = area_taps(x, job.at.crop_width, job.at.width);
  const AreaTaps ty = area_taps(y, job.at.crop_height, job.at.height);
  float sum[3] = {};
  for (int j = 0; j < ty.count; ++j) {
    float across[3] = {};
    for (int i = 0; i < tx.count; ++i) {
      int p[3] = {};
      source_channels(job, tx.first + i, ty.first + j, p);
      for (int c = 0; c < 3; ++c) {
        const float share = static_cast<float>(p[c]) * tx.weight(i);
        across[c] = across[c] + share;
      }
    }
    for (int c = 0; c < 3; ++c) {
      const float share = across[c] * ty.weight(j);
      sum[c] = sum[c] + share;
    }
  }
  for (int c = 0; c < 3; ++c) value[c] = area_round(sum[c]);
}

// The channels of the tensor's pixel (x, y), before normalisation.
EDGEDL_HD void tensor_pixel(const Job& job, int x, int y, int* value) {
  x -= job.at.x;
  y -= job.at.y;
  if (x < 0 || y < 0 || x >= job.at.width || y >= job.at.height) {
    value[0] = value[1] = value[2] = job.plan.fill;
    return;
  }
  switch (job.method) {
    case Method::kNearest:
      source_channels(job, nearest_index(x, job.at.crop_width, job.at.width),
                      nearest_index(y, job.at.crop_height, job.at.height), value);
      return;
    case Method::kLinear:
    case Method::kLinearArea:
      linear_pixel(job, x, y, value);
      return;
    case Method::kBox:
      box_pixel(job, x, y, value);
      return;
    case Method::kArea:
      area_pixel(job, x, y, value);
      return;
  }
}

EDGEDL_HD void write_pixel(const Job& job, int x, int y, void* dst) {
  int value[3] = {};
  tensor_pixel(job, x, y, value);
  const PreprocessPlan& plan = job.plan;
  const int channels = channels_of(plan);
  const std::int64_t pixel = static_cast<std::int64_t>(y) * plan.width + x;
  const std::int64_t plane = static_cast<std::int64_t>(plan.height) * plan.width;
  for (int c = 0; c < channels; ++c) {
    const std::int64_t at = plan.layout == Layout::kNchw ? c * plane + pixel : pixel * channels + c;
    const float y_value = normalize(value[c], plan.scale[c], plan.bias[c]);
    if (plan.dtype == DType::kFloat32) static_cast<float*>(dst)[at] = y_value;
    if (plan.dtype == DType::kFloat16) static_cast<std::uint16_t*>(dst)[at] = to_half(y_value);
    if (plan.dtype == DType::kUint8)
      static_cast<std::uint8_t*>(dst)[at] = static_cast<std::uint8_t>(value[c]);
  }
}

}  // namespace edgedl::math
