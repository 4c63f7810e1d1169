// What each target compiles of averaging: see simd/targets.h.
//
// OpenCV averages across first, each cell from left to right, then down. To get its bits at the
// speed of vectors, 16 rows are turned into the lanes of one vector: each lane adds up its own row
// in that order.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/preprocess_cpu.h"
#include "kernels/preprocess_math.h"

namespace edgedl {

constexpr int kAreaRows = 16;
constexpr int kAreaCells = 32;  // averaged at a time; divides every pitch

// 16 rows of bytes to 16 rows of cell means.
struct AreaAcross {
  const std::uint8_t* rows[kAreaRows];
  Channels channels;  // step 1 or 3
  int source_width;   // pixels that may be read of a row
  const math::AreaTaps* taps;
  int width;             // cells of a row
  bool backwards;        // each cell is added up from its last pixel to its first
  std::uint8_t* turned;  // scratch of turned_size() bytes
  float* means;  // row r holds a run of `pitch` per channel, from r * channels.count * pitch
  int pitch;
};

// Room for the pixels under kAreaCells cells, 3 bytes each, side by side in all rows.
inline std::ptrdiff_t turned_size(const math::AreaTaps* taps, int width) {
  constexpr std::ptrdiff_t kVector = 64;
  std::ptrdiff_t most = 0;
  for (int x = 0; x < width; x += kAreaCells) {
    const math::AreaTaps& last = taps[x + kAreaCells < width ? x + kAreaCells - 1 : width - 1];
    const std::ptrdiff_t pixels = last.first + last.count - taps[x].first;
    most = pixels > most ? pixels : most;
  }
  return kAreaRows * (3 * most + kVector);
}

using AreaAcrossRows = void (*)(const AreaAcross& job);

// sum[i] += means[i] * weight
using AreaDown = void (*)(const float* means, float weight, float* sum, int count);
using AreaRound = void (*)(const float* sum, int count, std::uint8_t* line);

// The same for boxes of whole pixels, whose weights across are 1: sums of any size are exact.
using BoxDown = void (*)(const float* sums, double* sum, int count);
using BoxRound = void (*)(const double* sum, int box_width, int box_height, int count,
                          std::uint8_t* line);

}  // namespace edgedl
