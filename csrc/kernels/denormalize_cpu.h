// What each target compiles of denormalize: see simd/targets.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgedl {

// One channel of `count` pixels, whose bytes lie `step` apart.
using DenormalizeRow = void (*)(const float* src, std::uint8_t* dst, std::ptrdiff_t count,
                                std::ptrdiff_t step, float scale, float bias);

}  // namespace edgedl
