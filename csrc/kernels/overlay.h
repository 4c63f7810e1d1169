// overlay: boxes, masks and heat maps, blended in place into a picture of 3 bytes a pixel.
//
//   blended = round((alpha * over + (255 - alpha) * under) / 255) of each byte; alpha is 0..255
//
// What lies beyond the picture is not drawn. All inputs are packed and must not overlap the
// picture.
#pragma once

#include <cstddef>
#include <cstdint>

struct CUstream_st;  // cudaStream_t without the CUDA headers

namespace edgedl {

struct Canvas {
  std::uint8_t* data;  // (H, W, 3), pixels packed, rows may be padded
  int height, width;
  std::ptrdiff_t step;  // bytes from a row to the next; may be negative
};

// Where something lies in a canvas, or beyond its edges.
struct Placing {
  int x, y, width, height;
};

// Boxes one after another, each with its colour.
//
//   corners  int32  (K, 4)  x1, y1, x2, y2; x2 and y2 are the first column and row outside
//   colors   uint8  (K, 3)
//
// The outline lies within its box; thickness 0 fills it. A box without a pixel is not drawn.
struct OverlayBoxes {
  int count;
  const std::int32_t* corners;
  const std::uint8_t* colors;
  int thickness;
  int alpha;
};

// One colour, where a mask covers the picture: alpha of a pixel is round(coverage * alpha / 255).
struct OverlayMask {
  Placing at;
  const std::uint8_t* coverage;  // (height, width) of `at`
  std::uint8_t color[3];
  int alpha;
};

// A heat map resized to its place and shown through a table of colours.
//
//   heat    float32  (rows, columns)  what is beyond 0..1 is cut, NaN counts as 0
//   colors  uint8    (256, 3)         of the values 0/255 .. 255/255
//
// position  = min(max((i + 0.5) * (columns / width) - 0.5, 0), columns - 1) of column i, rows alike
// value     = a + (b - a) * fraction: first of neighbours in a row, then of the two rows
// level     = floor(value * 255 + 0.5); all in float32, every result rounded
struct OverlayHeat {
  Placing at;  // at least 1 x 1
  int rows, columns;
  const float* heat;
  const std::uint8_t* colors;
  int alpha;
};

void overlay_cpu(const Canvas& canvas, const OverlayBoxes& boxes);
void overlay_cpu(const Canvas& canvas, const OverlayMask& mask);
void overlay_cpu(const Canvas& canvas, const OverlayHeat& heat);

// Device memory. Return once the work is queued on the stream. Not yet run on a GPU.
void overlay_cuda(const Canvas& canvas, const OverlayBoxes& boxes, CUstream_st* stream);
void overlay_cuda(const Canvas& canvas, const OverlayMask& mask, CUstream_st* stream);
void overlay_cuda(const Canvas& canvas, const OverlayHeat& heat, CUstream_st* stream);

// The CUDA kernels' code on the host, for tests: see core/grid.h for `order`.
void overlay_emulated(const Canvas& canvas, const OverlayBoxes& boxes, int order);
void overlay_emulated(const Canvas& canvas, const OverlayMask& mask, int order);
void overlay_emulated(const Canvas& canvas, const OverlayHeat& heat, int order);

}  // namespace edgedl
