// Every 64-bit ARM.
#define EDGEDL_TARGET neon
#define EDGEDL_SUPPORTED true
#define EDGEDL_NEON  // __ARM_NEON is there for the scalar target as well
#include <arm_neon.h>

#include "simd/target.inl"
