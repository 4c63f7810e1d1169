// The formulas of softmax, for host and device.
#pragma once

#include <cstdint>
#include <cstring>

#include "core/host_device.h"

namespace edgedl {

// Value i of a row belongs to lane i % kLanes. Lanes are summed in order, then folded in halves:
// the same sum on a CPU of any vector width and in a block of so many GPU threads.
constexpr int kLanes = 256;
constexpr int kFolds = 8;  // 2^8 lanes
static_assert(kLanes == 1 << kFolds);

namespace math {

// e^x for x <= 0, within 1 ulp; 0 below -87, beyond which float32 loses digits; NaN for NaN.
EDGEDL_HD float exp_of_nonpositive(float x) {
  // x = whole * ln 2 + rest, |rest| <= ln 2 / 2: a float near 1.5 * 2^23 has no room for fractions
  constexpr float kRound = 12582912.0f;
  constexpr float kLn2High = 0.693359375f;  // so few bits that whole * kLn2High is exact
  constexpr float kLn2Low = -2.12194440e-4f;
  const float shifted = x * 1.44269504f + kRound;
  const float whole = shifted - kRound;
  const float rest = (x - whole * kLn2High) - whole * kLn2Low;
  // (e^rest - 1 - rest) / rest^2, fitted so that the largest relative error of e^rest is least
  float q = 0.0013814433f;
  q = q * rest + 0.008368797f;
  q = q * rest + 0.041668396f;
  q = q * rest + 0.1666652f;
  q = q * rest + 0.49999994f;
  const float power = (rest * rest * q + rest) + 1.0f;
  // the low bits of `shifted` are `whole`, which is added to the exponent
  std::uint32_t exponent, bits;
  std::memcpy(&exponent, &shifted, sizeof exponent);
  std::memcpy(&bits, &power, sizeof bits);
  bits += exponent << 23;
  // chosen as bits, for compilers make no vector of code that might compare NaNs
  std::uint32_t given;
  std::memcpy(&given, &x, sizeof given);
  const auto magnitude = static_cast<std::int32_t>(given & 0x7FFFFFFFu);
  constexpr std::int32_t k87 = 0x42AE0000, kInfinity = 0x7F800000;
  const std::uint32_t normal = 0u - static_cast<std::uint32_t>(magnitude <= k87);
  const std::uint32_t nan = 0u - static_cast<std::uint32_t>(magnitude > kInfinity);
  bits = (bits & normal) | (0x7FC00000u & nan);
  float result;
  std::memcpy(&result, &bits, sizeof result);
  return result;
}

// Floats as whole numbers of the same order; positive NaNs above all, negative ones below.
EDGEDL_HD std::int32_t order_of(float x) {
  std::int32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits ^ ((bits >> 31) & 0x7FFFFFFF);
}
EDGEDL_HD float float_of_order(std::int32_t order) {
  const std::int32_t bits = order ^ ((order >> 31) & 0x7FFFFFFF);
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// Natural logarithm of a finite x >= 1, within 2e-16 of it or 1e-16.
EDGEDL_HD double log_of_sum(float x) {
  const double wide = static_cast<double>(x);
  std::uint64_t bits;
  std::memcpy(&bits, &wide, sizeof bits);
  double exponent = static_cast<double>(static_cast<int>(bits >> 52) - 1023);
  bits = (bits & 0xFFFFFFFFFFFFFull) | (1023ull << 52);
  double mantissa;
  std::memcpy(&mantissa, &bits, sizeof mantissa);
  if (mantissa > 1.4142135623730951) {
    mantissa *= 0.5;
    exponent += 1.0;
  }
  // ln m = 2 (f + f^3 / 3 + f^5 / 5 + ...), |f| < 0.172
  const double f = (mantissa - 1.0) / (mantissa + 1.0);
  const double square = f * f;
  double series = 1.0 / 23.0;
  for (int odd = 21; odd >= 1; odd -= 2) series = series * square + 1.0 / odd;
  return exponent * 0.6931471805599453 + 2.0 * f * series;
}

}  // namespace math
}  // namespace edgedl
