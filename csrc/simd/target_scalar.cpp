// What every CPU of this architecture can run.
#define EDGEDL_TARGET scalar
#define EDGEDL_SUPPORTED true
#include "simd/target.inl"
