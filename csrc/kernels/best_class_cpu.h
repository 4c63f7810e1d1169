// What each target compiles of best_class: see simd/targets.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgedl {

// The best of `values` scores of each of `count` neighbouring anchors, a value `step` after
// another.
using BestOfColumns = void (*)(const float* src, std::ptrdiff_t step, int values, int count,
                               float* scores, std::int32_t* classes);

// The same of one anchor whose scores lie side by side.
using BestOfRow = void (*)(const float* src, int values, float* score, std::int32_t* which);

}  // namespace edgedl
