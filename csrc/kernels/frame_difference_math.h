// The formulas of frame_difference, for host and device.
#pragma once

#include <cstdint>

#include "core/host_device.h"

namespace edgedl::math {

inline std::uint64_t share_of_box(int box) {
  const auto pixels = static_cast<std::uint64_t>(box) * static_cast<std::uint64_t>(box);
  return ((std::uint64_t{1} << 32) + pixels / 2) / pixels;
}

// `weighted` is the sum of the box's bytes, each times the weight of its channel.
EDGEDL_HD std::uint8_t box_mean(std::uint64_t weighted, std::uint64_t share) {
  const std::uint64_t luma = (weighted + (1u << 14)) >> 15;
  return static_cast<std::uint8_t>((luma * share + (std::uint64_t{1} << 31)) >> 32);
}

EDGEDL_HD int blur_across(int left, int here, int right) {
  return left + 2 * here + right;
}

EDGEDL_HD std::uint8_t blur_down(int above, int here, int below) {
  return static_cast<std::uint8_t>((above + 2 * here + below + 8) >> 4);
}

EDGEDL_HD bool differs(int a, int b, int threshold) {
  return (a > b ? a - b : b - a) > threshold;
}

}  // namespace edgedl::math
