#include "core/device.h"

#include <cuda_runtime.h>

#include "core/error.h"

namespace edgedl {

int current_device() {
  int device = kUnknownDevice;
  if (cudaGetDevice(&device) == cudaSuccess) return device;
  cudaGetLastError();  // so that the next launch does not report it
  return kUnknownDevice;
}

int device_of(const void* address) {
  cudaPointerAttributes found{};
  if (cudaPointerGetAttributes(&found, address) != cudaSuccess) {
    cudaGetLastError();
    return kUnknownDevice;
  }
  const bool is_there = found.type == cudaMemoryTypeDevice || found.type == cudaMemoryTypeManaged;
  return is_there ? found.device : kNoDevice;
}

void wait_for(const char* operation, CUstream_st* stream, CUstream_st* before) {
  cudaEvent_t reached = nullptr;
  cudaError_t status = cudaEventCreateWithFlags(&reached, cudaEventDisableTiming);
  if (status == cudaSuccess) status = cudaEventRecord(reached, before);
  if (status == cudaSuccess) status = cudaStreamWaitEvent(stream, reached, 0);
  if (reached != nullptr) cudaEventDestroy(reached);
  cudaGetLastError();
  require(status == cudaSuccess, operation, "the stream must wait for the one of its input; got ",
          cudaGetErrorName(status), ": ", cudaGetErrorString(status));
}

}  // namespace edgedl
