// x86-64-v3: Haswell (2013), Zen (2017) and newer.
#define EDGEDL_TARGET avx2
#define EDGEDL_SUPPORTED (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c"))
#include <immintrin.h>

#include "simd/target.inl"
