// What each target compiles of overlay: see simd/targets.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgedl {

// One colour into `rows` x `columns` pixels, `step` bytes from row to row.
using OverlayColor = void (*)(std::uint8_t* dst, std::ptrdiff_t step, int rows, int columns,
                              const std::uint8_t* color, int alpha);

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
