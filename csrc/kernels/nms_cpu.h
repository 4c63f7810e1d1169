// What each target compiles of nms: see simd/targets.h.
#pragma once

#include <cstdint>

#include "kernels/nms_math.h"

namespace edgedl {

constexpr int kNmsBlock = 32;

// The kept boxes of one group by coordinate, filled up to whole blocks with boxes that meet none.
struct NmsKept {
  const float *x1, *y1, *x2, *y2, *share;
};

// Finds the first block, at `from` or later, in which math::may_suppress holds for `box`: returns
// where it starts and sets the bits of *suspects; >= count if there is none. `from` is a multiple
// of kNmsBlock.
using NmsNextSuspects = int (*)(const NmsKept& kept, int from, int count, const math::Box& box,
                                float share, float threshold, std::uint32_t* suspects);

}  // namespace edgedl
