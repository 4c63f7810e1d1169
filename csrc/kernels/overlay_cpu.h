// What each target compiles of overlay: see simd/targets.h.
#pragma once

#include <cstdint>

namespace edgedl {

// One colour into `count` pixels.
using OverlayColor = void (*)(std::uint8_t* dst, int count, const std::uint8_t* color, int alpha);

// One colour into `count` pixels, as far as they are covered.
using OverlayCovered = void (*)(std::uint8_t* dst, const std::uint8_t* coverage, int count,
                                const std::uint8_t* color, int alpha);

// `count` pixels between two rows of a heat map.
struct OverlayHeatRows {
  const float *top, *bottom;
  float fraction;
};
using OverlayHeatLine = void (*)(std::uint8_t* dst, const OverlayHeatRows& rows, int count,
                                 const std::uint8_t* colors, int alpha);

}  // namespace edgedl
