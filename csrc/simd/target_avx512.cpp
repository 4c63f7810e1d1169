// Ice Lake (2019), Zen 4 (2022) and newer: with byte permutations and 8-bit dot products.
#define EDGEDL_TARGET avx512
#define EDGEDL_SUPPORTED                                                       \
  (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&  \
   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") && \
   __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni"))
// GCC 12 warns of its own intrinsics (bug 105593).
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include "simd/target.inl"
