// Cortex-A76 (2018), A78AE (Jetson Orin) and newer: with 8-bit dot products.
#define EDGEDL_TARGET neon_dot
#define EDGEDL_SUPPORTED ((getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0)
#define EDGEDL_NEON
#include <arm_neon.h>
#include <sys/auxv.h>

#include "simd/target.inl"
