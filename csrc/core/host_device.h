// Functions that both the host compiler and nvcc compile.
#pragma once

#ifdef __CUDACC__
#define EDGEDL_HD __host__ __device__ __forceinline__
#else
#define EDGEDL_HD inline __attribute__((always_inline))
#endif
