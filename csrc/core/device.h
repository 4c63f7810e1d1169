// What CUDA knows of memory and streams.
#pragma once

struct CUstream_st;  // cudaStream_t without the CUDA headers

namespace edgedl {

// Numbers of GPUs; unknown also where CUDA does not answer.
constexpr int kUnknownDevice = -1;
constexpr int kNoDevice = -2;

// The calling thread's GPU.
int current_device();

// The GPU in whose memory an address lies; kNoDevice for memory of the host.
int device_of(const void* address);

// Lets all further work on `stream` wait for what has been queued on `before`.
void wait_for(const char* operation, CUstream_st* stream, CUstream_st* before);

}  // namespace edgedl
