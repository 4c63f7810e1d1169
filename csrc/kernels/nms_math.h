// The formulas of nms, for host and device.
#pragma once

#include <cfloat>
#include <cstdint>
#include <cstring>

#include "core/host_device.h"

namespace edgedl::math {

struct Box {
  float x1, y1, x2, y2;
};

EDGEDL_HD bool is_finite(float x) {
  return x - x == 0.0f;
}

EDGEDL_HD bool is_candidate(const Box& b, float score, float score_threshold) {
  return score > score_threshold && is_finite(b.x1) && is_finite(b.y1) && is_finite(b.x2) &&
         is_finite(b.y2);
}

// Rises as the score falls; both zeros are equal.
EDGEDL_HD std::uint32_t falling_key(float score) {
  const float value = score + 0.0f;
  std::uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  const std::uint32_t rising = (bits >> 31) != 0u ? ~bits : bits | 0x80000000u;
  return ~rising;
}

EDGEDL_HD double extent(double from, double to) {
  const double length = to - from;
  return length > 0.0 ? length : 0.0;
}

EDGEDL_HD double area(const Box& b) {
  return extent(b.x1, b.x2) * extent(b.y1, b.y2);
}

// Whether a and b overlap by more than the threshold: intersection over union, rounded as OpenCV
// rounds it; two boxes without an area count as equal.
EDGEDL_HD bool suppresses(const Box& a, const Box& b, float threshold) {
  const double both = area(a) + area(b);
  if (both <= DBL_EPSILON) return 1.0f > threshold;
  const double common = extent(a.x1 > b.x1 ? a.x1 : b.x1, a.x2 < b.x2 ? a.x2 : b.x2) *
                        extent(a.y1 > b.y1 ? a.y1 : b.y1, a.y2 < b.y2 ? a.y2 : b.y2);
  return 1.0f - static_cast<float>(1.0 - common / (both - common)) > threshold;
}

// ---- a quick float32 test that never misses a pair which `suppresses` finds
// ------------------------

// I / (A + B - I) > t  <=>  I (1 + t) > t A + t B. The right side is made smaller by far more than
// float32 can err.
EDGEDL_HD float quick_area(const Box& b) {
  const float width = b.x2 > b.x1 ? b.x2 - b.x1 : 0.0f;
  const float height = b.y2 > b.y1 ? b.y2 - b.y1 : 0.0f;
  return width * height;
}

EDGEDL_HD float quick_share(const Box& b, float threshold) {
  return threshold * (1.0f - 1e-5f) * quick_area(b);
}

EDGEDL_HD bool may_suppress(const Box& a, float share_a, const Box& b, float share_b,
                            float threshold) {
  const float left = a.x1 > b.x1 ? a.x1 : b.x1, right = a.x2 < b.x2 ? a.x2 : b.x2;
  const float top = a.y1 > b.y1 ? a.y1 : b.y1, bottom = a.y2 < b.y2 ? a.y2 : b.y2;
  const float width = right - left, height = bottom - top;
  const float common = (width > 0.0f ? width : 0.0f) * (height > 0.0f ? height : 0.0f);
  return common * (1.0f + threshold) > share_a + share_b;
}

// Whether the quick test holds for a and any other box: not where float32 areas vanish or overflow.
EDGEDL_HD bool is_quick(const Box& a) {
  const float size = quick_area(a);
  return size > 1e-15f && size < 1e30f;
}

}  // namespace edgedl::math
