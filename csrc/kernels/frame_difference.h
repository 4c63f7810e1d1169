// frame_difference: where two pictures differ, at reduced size; whole numbers only.
//
//   src       uint8  (H, W, C)  C is 1..3, pixels packed, rows may be padded
//   previous  uint8  (h, w)  `blurred` of an earlier picture, or null
//   blurred   uint8  (h, w)  h = H / box, w = W / box; what is left over is not looked at
//   changed   uint8  (h, w)  1 or 0; all 0 without `previous`
//
// luma      = (sum over c of weights[c] * sum of the box's bytes of c, + 2^14) >> 15, of each box
// reduced   = (luma * round(2^32 / box^2) + 2^31) >> 32
// blurred   = (1 2 1; 2 4 2; 1 2 1) of reduced, + 8, >> 4; edges are repeated
// changed   = 1 where |blurred - previous| > threshold, and up to `dilate` rows and columns away
#pragma once

#include <cstddef>
#include <cstdint>

struct CUstream_st;  // cudaStream_t without the CUDA headers

namespace edgedl {

constexpr int kLongestBox = 256;

struct FrameDifference {
  int height, width, channels;
  int box;              // 1..kLongestBox, at most the height and the width
  int weights[3];       // of the channels; their sum is 2^15
  int threshold;        // 0..255
  int dilate;           // >= 0
  std::ptrdiff_t step;  // bytes from a row to the next
};

void frame_difference_cpu(const FrameDifference& job, const std::uint8_t* src,
                          const std::uint8_t* previous, std::uint8_t* blurred,
                          std::uint8_t* changed);

// Device memory; scratch holds 2 h w bytes. Returns once the work is queued on the stream. Not yet
// run on a GPU.
void frame_difference_cuda(const FrameDifference& job, const std::uint8_t* src,
                           const std::uint8_t* previous, std::uint8_t* blurred,
                           std::uint8_t* changed, std::uint8_t* scratch, CUstream_st* stream);

// The CUDA kernels' code on the host, for tests: see core/grid.h for `order`.
void frame_difference_emulated(const FrameDifference& job, const std::uint8_t* src,
                               const std::uint8_t* previous, std::uint8_t* blurred,
                               std::uint8_t* changed, int order);

}  // namespace edgedl
