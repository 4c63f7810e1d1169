// denormalize: a network's image -> a picture, y = round(x * scale[c] + bias[c]) in 0..255.
//
//   src  float32  (N, C, H, W)  packed; C is 1 or 3
//   dst  uint8    (N, H, W, C)  packed; must not overlap src
//
// Two float32 roundings, no fused multiply-add; halves go to the even neighbour; NaN becomes 0.
// To undo (x / 255 - mean) / std, pass scale = 255 std, bias = 255 mean.
#pragma once

#include <cstdint>

struct CUstream_st;  // cudaStream_t without the CUDA headers

namespace edgedl {

struct Denormalize {
  int images, channels, height, width;
  float scale[3];
  float bias[3];
  bool reversed;  // the last channel of src comes first in dst: RGB <-> BGR
};

void denormalize_cpu(const Denormalize& job, const float* src, std::uint8_t* dst);

// Device memory. Returns once the work is queued on the stream. Not yet run on a GPU.
void denormalize_cuda(const Denormalize& job, const float* src, std::uint8_t* dst,
                      CUstream_st* stream);

// The CUDA kernel's code on the host, for tests: see core/grid.h for `order`.
void denormalize_emulated(const Denormalize& job, const float* src, std::uint8_t* dst, int order);

}  // namespace edgedl
