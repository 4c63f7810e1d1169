// One thread per pixel of the tensor; the formula is preprocess_math.h, as on the host.
// Compiled by nvcc with --fmad=false, not yet run on a GPU.
#include <cuda_runtime.h>

#include "core/error.h"
#include "kernels/preprocess_pixel.h"

namespace edgedl {
namespace {

__global__ void preprocess_kernel(const math::Job job, void* dst) {
  const int x = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int y = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y);
  if (x < job.plan.width && y < job.plan.height) math::write_pixel(job, x, y, dst);
}

unsigned blocks(int pixels, unsigned threads) {
  return (static_cast<unsigned>(pixels) + threads - 1) / threads;
}

}  // namespace

bool built_with_cuda() {
  return true;
}

void preprocess_cuda(const PreprocessPlan& plan, const Picture& picture, void* dst,
                     CUstream_st* stream) {
  check_picture(plan, picture);
  const Placement at = place(plan, picture.height, picture.width);
  const math::Job job{plan, picture, at, math::method_of(plan.resize, at)};
  const dim3 threads(32, 4);
  const dim3 grid(blocks(plan.width, threads.x), blocks(plan.height, threads.y));
  preprocess_kernel<<<grid, threads, 0, stream>>>(job, dst);
  const cudaError_t status = cudaGetLastError();
  require(status == cudaSuccess, "preprocess_cuda", "the CUDA driver must accept the launch; got ",
          cudaGetErrorString(status));
}

}  // namespace edgedl
