// The formulas of overlay, for host and device.
#pragma once

#include <cstdint>

#include "core/host_device.h"
#include "kernels/overlay.h"

namespace edgedl::math {

// x / 255 to the nearest, for x in 0..255^2: there are no halves.
EDGEDL_HD std::uint8_t share_of_255(int x) {
  const auto more = static_cast<std::uint16_t>(x + 128);
  return static_cast<std::uint8_t>((more + (more >> 8)) >> 8);
}

EDGEDL_HD std::uint8_t blended(int under, int over, int alpha) {
  return share_of_255(alpha * over + (255 - alpha) * under);
}

// From `begin` to before `end`.
struct Span {
  int begin, end;
};

// What of first .. first + count lies in 0 .. size.
EDGEDL_HD Span inside(std::int64_t first, std::int64_t count, int size) {
  const std::int64_t end = first + count;
  const int from = static_cast<int>(first < 0 ? 0 : first < size ? first : size);
  const int to = static_cast<int>(end < from ? from : end < size ? end : size);
  return {from, to};
}

// A box without the outline: what of it stays as it is.
struct Hole {
  std::int64_t x1, y1, x2, y2;

  EDGEDL_HD bool has(int x, int y) const { return x >= x1 && x < x2 && y >= y1 && y < y2; }
};

EDGEDL_HD Hole hole_of(const std::int32_t* corners, int thickness) {
  if (thickness == 0) return {0, 0, 0, 0};
  const std::int64_t t = thickness;
  return {corners[0] + t, corners[1] + t, corners[2] - t, corners[3] - t};
}

// Between two values of a heat map.
struct HeatPosition {
  int first, second;
  float fraction;
};

EDGEDL_HD HeatPosition heat_position(int i, float ratio, int count) {
  const float scaled = (static_cast<float>(i) + 0.5f) * ratio;
  const float at = scaled - 0.5f;
  const float last = static_cast<float>(count - 1);
  const float held = at > 0.0f ? (at < last ? at : last) : 0.0f;
  const int first = static_cast<int>(held);
  return {first, first + 1 < count ? first + 1 : first, held - static_cast<float>(first)};
}

EDGEDL_HD float heat_value(float x) {
  return x > 0.0f ? (x < 1.0f ? x : 1.0f) : 0.0f;  // NaN fails the first comparison
}

EDGEDL_HD float heat_between(float a, float b, float fraction) {
  const float more = (b - a) * fraction;
  return a + more;
}

EDGEDL_HD int heat_level(float value) {
  const float scaled = value * 255.0f;
  return static_cast<int>(scaled + 0.5f);
}

}  // namespace edgedl::math
