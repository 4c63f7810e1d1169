// The one formula of preprocess, for host and device: every launcher calls these functions and
// nothing else touches pixel values. Compiled without contraction to fused multiply-add.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/host_device.h"
#include "kernels/preprocess.h"

namespace edgedl::math {

// ---- colour -------------------------------------------------------------------------------

struct Rgb {
  int r, g, b;
};

EDGEDL_HD int clamp_to_byte(int value) {
  return value < 0 ? 0 : value > 255 ? 255 : value;
}

EDGEDL_HD Rgb yuv_to_rgb(const YuvToRgb& k, int y, int u, int v) {
  constexpr int kShift = 20;
  constexpr int kHalf = 1 << (kShift - 1);
  const int above_black = y > k.y_offset ? y - k.y_offset : 0;
  const int luma = above_black * k.y + kHalf;
  u -= 128;
  v -= 128;
  return {clamp_to_byte((luma + k.v_to_r * v) >> kShift),
          clamp_to_byte((luma + k.v_to_g * v + k.u_to_g * u) >> kShift),
          clamp_to_byte((luma + k.u_to_b * u) >> kShift)};
}

// OpenCV's weights, scaled by 2^15; they add up to 2^15, so gray stays gray.
EDGEDL_HD int gray(Rgb p) {
  return (p.r * 9798 + p.g * 19235 + p.b * 3735 + (1 << 14)) >> 15;
}

// The bytes that belong to one row of the source.
struct Row {
  const std::uint8_t* a;  // the picture, or Y
  const std::uint8_t* b;  // UV, or U
  const std::uint8_t* c;  // V
};

EDGEDL_HD const std::uint8_t* row_of(const Plane& plane, int y) {
  return plane.data + (y >> 1) * plane.two_rows + (y & 1) * plane.one_row;
}

EDGEDL_HD Row row_at(SourceFormat format, const Plane* planes, int y) {
  Row row{row_of(planes[0], y), nullptr, nullptr};
  if (format == SourceFormat::kNv12 || format == SourceFormat::kI420) {
    row.b = row_of(planes[1], y >> 1);
  }
  if (format == SourceFormat::kI420) row.c = row_of(planes[2], y >> 1);
  return row;
}

// R, G, B or Y, U, V of one source pixel. Chroma is not interpolated: the pixels of a 2 x 1 or
// 2 x 2 block share it.
struct Components {
  std::uint8_t a, b, c;
};

EDGEDL_HD Components read(SourceFormat format, const Row& row, int x) {
  switch (format) {
    case SourceFormat::kBgr8: {
      const std::uint8_t* p = row.a + 3 * x;
      return {p[2], p[1], p[0]};
    }
    case SourceFormat::kRgb8: {
      const std::uint8_t* p = row.a + 3 * x;
      return {p[0], p[1], p[2]};
    }
    case SourceFormat::kGray8:
      return {row.a[x], row.a[x], row.a[x]};
    case SourceFormat::kYuyv: {
      const std::uint8_t* pair = row.a + 4 * (x >> 1);
      return {pair[2 * (x & 1)], pair[1], pair[3]};
    }
    case SourceFormat::kNv12: {
      const std::uint8_t* uv = row.b + 2 * (x >> 1);
      return {row.a[x], uv[0], uv[1]};
    }
    case SourceFormat::kI420:
      return {row.a[x], row.b[x >> 1], row.c[x >> 1]};
  }
  return {0, 0, 0};
}

EDGEDL_HD Rgb to_rgb(SourceFormat format, const YuvToRgb& yuv, const Components& p) {
  const bool is_rgb = format == SourceFormat::kBgr8 || format == SourceFormat::kRgb8 ||
                      format == SourceFormat::kGray8;
  return is_rgb ? Rgb{p.a, p.b, p.c} : yuv_to_rgb(yuv, p.a, p.b, p.c);
}

// ---- resize: where to read and with which weights, all as in cv::resize ------------------------

EDGEDL_HD double scale_of(int source, int target) {
  return 1.0 / (static_cast<double>(target) / static_cast<double>(source));
}

// One side of a resize. The quotients are made once: few GPUs divide doubles fast.
struct Axis {
  int source, target;
  double scale, inverse;
};

EDGEDL_HD Axis axis_of(int source, int target) {
  return {source, target, scale_of(source, target),
          static_cast<double>(target) / static_cast<double>(source)};
}

EDGEDL_HD int nearest_index(int i, const Axis& axis) {
  const int index = static_cast<int>(floor(i * axis.scale));
  return index < axis.source - 1 ? index : axis.source - 1;
}

EDGEDL_HD int nearest_index(int i, int source, int target) {
  return nearest_index(i, axis_of(source, target));
}

// Two neighbours and their weights, which add up to 2048.
struct LinearTaps {
  int index0, index1;
  std::int16_t weight0, weight1;
};

// `enlarging_area`: the positions cv::INTER_AREA uses where it cannot average.
// `across`: along a row OpenCV gives all the weight to the last pixel inside, down a column it
// repeats the edge row and keeps both weights.
EDGEDL_HD LinearTaps linear_taps(int i, const Axis& axis, bool enlarging_area, bool across) {
  const int source = axis.source;
  int index;
  float fraction;
  if (enlarging_area) {
    index = static_cast<int>(floor(i * axis.scale));
    fraction = static_cast<float>((i + 1) - (index + 1) * axis.inverse);
    fraction = fraction <= 0.0f ? 0.0f : fraction - floorf(fraction);
  } else {
    const float position = static_cast<float>((i + 0.5) * axis.scale - 0.5);
    index = static_cast<int>(floorf(position));
    fraction = position - static_cast<float>(index);
  }
  if (across && index < 0) {
    index = 0;
    fraction = 0.0f;
  }
  if (across && index >= source - 1) {
    index = source - 1;
    fraction = 0.0f;
  }
  const int last = source - 1;
  const int next = index + 1;
  return {index < 0 ? 0 : (index > last ? last : index), next < 0 ? 0 : (next > last ? last : next),
          static_cast<std::int16_t>(rintf((1.0f - fraction) * 2048.0f)),
          static_cast<std::int16_t>(rintf(fraction * 2048.0f))};
}

EDGEDL_HD LinearTaps linear_taps(int i, int source, int target, bool enlarging_area, bool across) {
  return linear_taps(i, axis_of(source, target), enlarging_area, across);
}

// 0..255 -> 0..32640: 7 fractional bits are kept between the two passes.
EDGEDL_HD std::int16_t linear_across(int value0, int value1, int weight0, int weight1) {
  return static_cast<std::int16_t>((value0 * weight0 + value1 * weight1) >> 4);
}

// 16-bit operands let the compiler use a multiplication that keeps only the upper half.
EDGEDL_HD int linear_down(std::int16_t across0, std::int16_t across1, std::int16_t weight0,
                          std::int16_t weight1) {
  const std::int16_t upper0 = static_cast<std::int16_t>((across0 * weight0) >> 16);
  const std::int16_t upper1 = static_cast<std::int16_t>((across1 * weight1) >> 16);
  return static_cast<std::int16_t>(upper0 + upper1 + 2) >> 2;
}

// `count` neighbours from `first`; the first, the inner and the last may weigh differently.
struct AreaTaps {
  int first, count;
  float head, inner, tail;
  EDGEDL_HD float weight(int k) const { return k == 0 ? head : k == count - 1 ? tail : inner; }
};

EDGEDL_HD AreaTaps area_taps(int i, const Axis& axis) {
  const int source = axis.source;
  const double scale = axis.scale;
  const double begin = i * scale;
  const double end = begin + scale;
  const double cell = scale < source - begin ? scale : source - begin;
  int inner_end = static_cast<int>(floor(end));
  inner_end = inner_end < source - 1 ? inner_end : source - 1;
  int inner_begin = static_cast<int>(ceil(begin));
  inner_begin = inner_begin < inner_end ? inner_begin : inner_end;
  const bool has_head = inner_begin - begin > 1e-3;
  const bool has_tail = end - inner_end > 1e-3;
  double tail = end - inner_end < 1.0 ? end - inner_end : 1.0;
  tail = tail < cell ? tail : cell;
  AreaTaps taps;
  taps.inner = static_cast<float>(1.0 / cell);
  taps.head = has_head ? static_cast<float>((inner_begin - begin) / cell) : taps.inner;
  taps.tail = has_tail ? static_cast<float>(tail / cell) : taps.inner;
  taps.first = has_head ? inner_begin - 1 : inner_begin;
  taps.count = (has_head ? 1 : 0) + (inner_end - inner_begin) + (has_tail ? 1 : 0);
  if (taps.count == 1 && !has_head) taps.head = taps.tail;
  return taps;
}

EDGEDL_HD AreaTaps area_taps(int i, int source, int target) {
  return area_taps(i, axis_of(source, target));
}

EDGEDL_HD int area_round(float sum) {
  return clamp_to_byte(static_cast<int>(rintf(sum)));  // halves go to the even neighbour
}

// The mean of a box of whole pixels from their exact sum, rounded to float32.
EDGEDL_HD int box_mean(float sum, int box_width, int box_height) {
  if (box_width == 2 && box_height == 2) return (static_cast<int>(sum) + 2) >> 2;
  const float share = 1.0f / static_cast<float>(box_width * box_height);
  return area_round(sum * share);
}

// How a resize is really done for given sizes: `area` averages only where neither side grows, and
// counts whole pixels where both factors are whole in floating point (1 / (1 / 49.0) is not).
enum class Method { kNearest, kLinear, kLinearArea, kBox, kArea };

EDGEDL_HD Method method_of(Resize resize, const Placement& at) {
  if (resize == Resize::kNearest) return Method::kNearest;
  if (resize == Resize::kBilinear) return Method::kLinear;
  if (at.crop_width < at.width || at.crop_height < at.height) return Method::kLinearArea;
  const double across = scale_of(at.crop_width, at.width);
  const double down = scale_of(at.crop_height, at.height);
  return across == floor(across) && down == floor(down) ? Method::kBox : Method::kArea;
}

// ---- the value written ---------------------------------------------------------------------

EDGEDL_HD float normalize(int value, float scale, float bias) {
  const float scaled = static_cast<float>(value) * scale;
  return scaled + bias;
}

EDGEDL_HD std::int8_t to_int8(float value) {
  const float clamped = value > -128.0f ? (value < 127.0f ? value : 127.0f) : -128.0f;
  return static_cast<std::int8_t>(rintf(clamped));
}

// float32 -> the bits of the nearest float16, halves to even, too large to infinity.
EDGEDL_HD std::uint16_t to_half(float value) {
  std::uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const std::uint32_t sign = (bits >> 16) & 0x8000u;
  bits &= 0x7fffffffu;
  if (bits > 0x7f800000u) return static_cast<std::uint16_t>(sign | 0x7e00u);   // not a number
  if (bits >= 0x47800000u) return static_cast<std::uint16_t>(sign | 0x7c00u);  // >= 65536
  if (bits < 0x33000000u) return static_cast<std::uint16_t>(sign);             // < 2^-25
  std::uint32_t significand = bits & 0x7fffffu;
  std::uint32_t dropped = 13;
  std::uint32_t half;
  if (bits < 0x38800000u) {  // subnormal as float16
    significand |= 0x800000u;
    dropped = 126 - (bits >> 23);
    half = significand >> dropped;
  } else {
    half = (bits >> 13) - (112u << 10);
  }
  const std::uint32_t rest = significand & ((1u << dropped) - 1);
  const std::uint32_t middle = 1u << (dropped - 1);
  if (rest > middle || (rest == middle && (half & 1u) != 0)) ++half;
  return static_cast<std::uint16_t>(sign | half);
}

}  // namespace edgedl::math
