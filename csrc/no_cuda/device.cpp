// The symbols of core/device.cu in a build without nvcc.
#include "core/device.h"

#include "no_cuda/refuse.h"

namespace edgedl {

int current_device() {
  return kUnknownDevice;
}

int device_of(const void*) {
  return kUnknownDevice;
}

void wait_for(const char* operation, CUstream_st*, CUstream_st*) {
  refuse(operation);
}

}  // namespace edgedl
