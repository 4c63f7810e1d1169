// The one formula of denormalize, for host and device.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/host_device.h"

namespace edgedl::math {

EDGEDL_HD std::uint8_t denormalize(float x, float scale, float bias) {
  const float scaled = x * scale;
  const float value = scaled + bias;
  // NaN fails the first comparison
  const float clamped = value > 0.0f ? (value < 255.0f ? value : 255.0f) : 0.0f;
  return static_cast<std::uint8_t>(rintf(clamped));
}

}  // namespace edgedl::math
