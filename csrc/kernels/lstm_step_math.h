// The formulas of lstm_step: sigmoid and tanh within 2e-7 of the exact value, for any float.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "core/host_device.h"
#include "kernels/softmax_math.h"

namespace edgedl::math {

EDGEDL_HD float tanh_of(float x) {
  const float e = exp_of_nonpositive(-2.0f * fabsf(x));
  return copysignf((1.0f - e) / (1.0f + e), x);
}

EDGEDL_HD float sigmoid(float x) {
  return 0.5f * tanh_of(0.5f * x) + 0.5f;
}

// How numbers become bytes: byte = round(x / scale) + zero.
struct ByteScale {
  float scale;
  std::int32_t zero;
};

// round(x) + zero in 0..255, halves to even, for |x| < 2^22; some byte for all other x.
EDGEDL_HD std::int32_t rounded_to_byte(float x, std::int32_t zero) {
  const float shifted = x + 12582912.0f;  // a float near 1.5 * 2^23 has no room for fractions
  std::uint32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  const auto value =
      static_cast<std::int32_t>(bits - 0x4B400000u + static_cast<std::uint32_t>(zero));
  const std::int32_t positive = value > 0 ? value : 0;
  return positive < 255 ? positive : 255;
}

// For numbers in [low, high], which holds 0. `odd` is NaN where one of them is no finite number:
// so is then the scale, and all that is multiplied by it.
EDGEDL_HD ByteScale byte_scale(float low, float high, float odd) {
  const float scale = high == low ? 1.0f : (high - low) / 255.0f;
  return {scale + odd, rounded_to_byte((0.0f - low) / scale, 0)};
}

EDGEDL_HD std::uint8_t to_byte(float x, ByteScale by) {
  return static_cast<std::uint8_t>(rounded_to_byte(x / by.scale, by.zero));
}

}  // namespace edgedl::math
