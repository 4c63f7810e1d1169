// What each target compiles of denormalize: see simd/targets.h.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgedl {

// The channels of a picture in the order in which their bytes follow one another.
struct DenormalizePlanes {
  const float* src[3];
  float scale[3];
  float bias[3];
};

// `count` pixels of one channel, or of three interleaved ones.
using DenormalizePixels = void (*)(const DenormalizePlanes& planes, std::uint8_t* dst,
                                   std::ptrdiff_t count);

}  // namespace edgedl
