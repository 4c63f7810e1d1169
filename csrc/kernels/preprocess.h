// preprocess: one camera picture -> one network input, in a single pass.
//
//   source   uint8, any SourceFormat; rows may be padded; sides 1..8192
//   dst      (C, H, W) or (H, W, C), packed: float32, float16, uint8 or int8
//
// In this order, each step on 8-bit values:
//   0. turn: the source rotated and flipped, so that all that follows sees the turned picture;
//   1. colour: every source pixel becomes the tensor's channels (YUV -> RGB as OpenCV does it,
//      RGB -> gray with OpenCV's weights);
//   2. fit: crop cuts the source, letterbox chooses where the picture lies in the tensor;
//   3. resize: bilinear, area or nearest, each with OpenCV's arithmetic;
//   4. padding of a letterbox gets the value `fill`;
//   5. y = value * scale[c] + bias[c] in float32, two roundings, no fused multiply-add; for int8
//      to the nearest whole number in -128..127, halves to the even neighbour.
//
// Every executor gives the same bits: preprocess_cpu, preprocess_emulated, preprocess_cuda and
// the NumPy definition in edgedl/runtime/preprocess_reference.py.
#pragma once

#include "core/host_device.h"
#include "core/picture.h"

struct CUstream_st;  // cudaStream_t without the CUDA headers

namespace edgedl {

enum class Resize { kBilinear, kArea, kNearest };
enum class Fit { kStretch, kLetterbox, kCrop };
enum class PixelFormat { kRgb8, kBgr8, kGray8 };
enum class Layout { kNchw, kNhwc };
enum class DType { kFloat32, kFloat16, kUint8, kInt8 };
enum class Matrix { kBt601, kBt709 };
enum class Range { kLimited, kFull };

constexpr int kMaxSide = 8192;

// Coefficients of YUV -> RGB, scaled by 2^20.
struct YuvToRgb {
  int y_offset;
  int y;
  int v_to_r;
  int v_to_g;
  int u_to_g;
  int u_to_b;
};

YuvToRgb yuv_to_rgb_coefficients(Matrix matrix, Range range);

// How the source lies: the turned picture has at (x, y) the source pixel (x, y), or (y, x) if
// transposed, counted from the last row or column where these are reversed.
struct Turn {
  bool transposed, rows_reversed, columns_reversed;
};

enum class Flip { kNone, kHorizontal, kVertical };

// Clockwise by a multiple of 90 degrees, then flipped.
Turn turn_of(int degrees, Flip flip);

// What to do with every picture of a stream.
struct PreprocessPlan {
  int height;  // of the tensor
  int width;
  Resize resize;
  Fit fit;
  int fill;
  PixelFormat pixel_format;
  Layout layout;
  DType dtype;
  SourceFormat source_format;
  Turn turn;
  YuvToRgb yuv;
  float scale[3];
  float bias[3];
};

EDGEDL_HD int channels_of(const PreprocessPlan& plan) {
  return plan.pixel_format == PixelFormat::kGray8 ? 1 : 3;
}

EDGEDL_HD std::size_t bytes_of_image(const PreprocessPlan& plan) {
  const std::size_t size = plan.dtype == DType::kFloat32   ? 4
                           : plan.dtype == DType::kFloat16 ? 2
                                                           : 1;
  return size * static_cast<std::size_t>(channels_of(plan)) *
         static_cast<std::size_t>(plan.height) * static_cast<std::size_t>(plan.width);
}

// Which rectangle of the source goes to which rectangle of the tensor.
struct Placement {
  int crop_x, crop_y, crop_width, crop_height;
  int x, y, width, height;
};

Placement place(const PreprocessPlan& plan, int source_height, int source_width);

// Throws Error unless the picture's format, sides and parity suit the plan.
void check_picture(const PreprocessPlan& plan, const Picture& picture);

// A part of a picture, in pixels. Throws Error unless it lies inside, and is even in position and
// size where pixels share their colour.
struct Region {
  int x, y, width, height;
};
Picture region_of(const Picture& picture, const Region& region);

// The picture as the steps after the turn see it: with the sides of the turned picture, and rows
// in order. Executors read columns of it where it is transposed or its columns are reversed.
Picture turned(const PreprocessPlan& plan, const Picture& picture);

// Thread-safe: scratch memory belongs to the call. dst must not overlap the source.
void preprocess_cpu(const PreprocessPlan& plan, const Picture& picture, void* dst);

// For benchmarks, the least that any executor does: reads each row of the source that is needed
// once and writes zeros to all of dst. Returns something that depends on what it read.
unsigned preprocess_touch(const PreprocessPlan& plan, const Picture& picture, void* dst);

// A batch: pictures[i] becomes the i-th image of dst. The planes and dst are device memory; dst
// must not overlap them. Returns once the work is queued on the stream. Compiled by nvcc, not yet
// run on a GPU.
void preprocess_cuda(const PreprocessPlan& plan, const Picture* pictures, int count, void* dst,
                     CUstream_st* stream);

// The CUDA kernels' code on the host, for tests: see core/grid.h for `order`.
void preprocess_emulated(const PreprocessPlan& plan, const Picture* pictures, int count, void* dst,
                         int order);

bool built_with_cuda();

}  // namespace edgedl
