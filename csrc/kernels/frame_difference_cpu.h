// What each target compiles of frame_difference: see simd/targets.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgedl {

// sums[i] = the sum of `rows` <= 256 bytes, `step` apart, for each of `count` columns.
using SumRows = void (*)(const std::uint8_t* src, std::ptrdiff_t step, int rows, int count,
                         std::uint16_t* sums);

}  // namespace edgedl
