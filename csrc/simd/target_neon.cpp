// Every 64-bit ARM.
#define EDGEDL_TARGET neon
#define EDGEDL_SUPPORTED true
#include <arm_neon.h>

#include "simd/target.inl"
