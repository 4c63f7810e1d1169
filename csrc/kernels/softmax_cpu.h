// What each target compiles of softmax: see simd/targets.h.
#pragma once

#include <cstddef>

namespace edgedl {

// The largest of every kLanes values of a row; NaN counts as larger than all or smaller than all.
using ChunkMaxima = void (*)(const float* row, std::ptrdiff_t count, float* maxima);

// The sum of e^(x - largest), in the order of softmax_math.h; NaN if one is NaN or largest is not
// finite.
using SumOfExp = float (*)(const float* row, std::ptrdiff_t count, float largest);

}  // namespace edgedl
