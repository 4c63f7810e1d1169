// A view of one picture in memory that somebody else owns.
#pragma once

#include <cstddef>
#include <cstdint>

namespace edgedl {

enum class SourceFormat { kBgr8, kRgb8, kGray8, kYuyv, kNv12, kI420 };

// Rows of bytes. Row y starts at data + (y / 2) * two_rows + (y % 2) * one_row: a packed I420 array
// holds two chroma rows in each row of the array, so its steps alternate. Otherwise two_rows is
// twice one_row. Steps count bytes, may include padding, and may be negative.
struct Plane {
  const std::uint8_t* data;
  std::ptrdiff_t one_row;
  std::ptrdiff_t two_rows;
};

inline Plane plane_of(const std::uint8_t* data, std::ptrdiff_t stride_bytes) {
  return {data, stride_bytes, 2 * stride_bytes};
}

//   kBgr8, kRgb8   plane 0: (H, W, 3)
//   kGray8         plane 0: (H, W)
//   kYuyv          plane 0: (H, W, 2) as Y0 U Y1 V; W even
//   kNv12          plane 0: Y (H, W); plane 1: UV (H/2, W/2, 2); H and W even
//   kI420          planes Y (H, W), U (H/2, W/2), V (H/2, W/2); H and W even
struct Picture {
  SourceFormat format;
  int height;
  int width;
  Plane planes[3];
};

}  // namespace edgedl
