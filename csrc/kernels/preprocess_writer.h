// From lines of bytes to the tensor's type and order.
#pragma once

#include <cstdint>

#include "kernels/preprocess_rows.h"

namespace edgedl {

class TensorWriter {
 public:
  TensorWriter(const PreprocessPlan& plan, void* dst);

  // `count` pixels of row y from column x on; line[c] has this pitch.
  void write(int y, int x, int count, const std::uint8_t* line, int pitch);

  // Whether each channel has a plane of its own, and the planes' values from a pixel on.
  bool has_planes() const { return has_planes_; }
  PlaneRow planes(int y, int x) const;

 private:
  void write_values(const std::uint8_t* value, int count, const Scales& scales,
                    std::ptrdiff_t at) const;

  const PreprocessPlan& plan_;
  const CpuKernels& kernels_;
  void* dst_;
  bool has_planes_;
  std::ptrdiff_t plane_;  // values of one channel
  Scales scales_[3];      // of each plane; without planes the first is for all channels
  Line pixels_;           // a row, pixel after pixel
};

// All that lies around the picture's place in the rows begin..end - 1 of the tensor.
void write_padding(const PreprocessPlan& plan, const Placement& at, int begin, int end,
                   TensorWriter& writer);

}  // namespace edgedl
