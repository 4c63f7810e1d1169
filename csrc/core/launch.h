// Runs the kernels of core/grid.h on a GPU. Only nvcc compiles this.
#pragma once

#include <cuda_runtime.h>

#include "core/error.h"
#include "core/grid.h"

namespace edgedl {

__device__ __forceinline__ Thread this_thread() {
  return {
      {static_cast<int>(blockIdx.x), static_cast<int>(blockIdx.y), static_cast<int>(blockIdx.z)},
      {static_cast<int>(threadIdx.x), static_cast<int>(threadIdx.y),
       static_cast<int>(threadIdx.z)}};
}

// __grid_constant__: an array in a kernel may be indexed without a copy of it in local memory.
template <class Kernel>
__global__ void grid_kernel(const __grid_constant__ Kernel kernel) {
  kernel(this_thread());
}

template <int Phase, int End, class Kernel, class... Round>
__device__ __forceinline__ void run_phases(const Kernel& kernel, typename Kernel::Shared& shared,
                                           Round... round) {
  if constexpr (Phase < End) {
    kernel.template phase<Phase>(this_thread(), shared, round...);
    __syncthreads();
    run_phases<Phase + 1, End>(kernel, shared, round...);
  }
}

template <class Kernel>
__global__ void phased_kernel(const __grid_constant__ Kernel kernel) {
  __shared__ typename Kernel::Shared shared;
  if constexpr (HasRounds<Kernel>::value) {
    run_phases<0, Kernel::kRoundBegin>(kernel, shared);
    const int rounds = kernel.rounds(shared);
    for (int i = 0; i < rounds; ++i) {
      run_phases<Kernel::kRoundBegin, Kernel::kRoundEnd>(kernel, shared, i);
    }
    run_phases<Kernel::kRoundEnd, Kernel::kPhases>(kernel, shared);
  } else {
    run_phases<0, Kernel::kPhases>(kernel, shared);
  }
}

// Queues the kernel on the stream. Throws Error if CUDA refuses the launch.
template <class Kernel>
void launch(const char* operation, const Kernel& kernel, CUstream_st* stream) {
  const Dim b = kernel.blocks(), t = kernel.threads();
  if (b.x == 0 || b.y == 0 || b.z == 0) return;  // nothing to do, which CUDA would refuse
  const dim3 blocks(b.x, b.y, b.z), threads(t.x, t.y, t.z);
  if constexpr (HasPhases<Kernel>::value) {
    phased_kernel<<<blocks, threads, 0, stream>>>(kernel);
  } else {
    grid_kernel<<<blocks, threads, 0, stream>>>(kernel);
  }
  const cudaError_t status = cudaGetLastError();
  require(status == cudaSuccess, operation, "the launch must succeed; got ",
          cudaGetErrorName(status), ": ", cudaGetErrorString(status));
}

}  // namespace edgedl
