// From lines of bytes to the tensor's type and order.
#pragma once

#include <cstdint>

#include "kernels/preprocess_rows.h"

namespace edgedl {

class TensorWriter {
 public:
  TensorWriter(const PreprocessPlan& plan, void* dst);

  // `count` pixels of row y from column x on; line[c] has this pitch.
  void write(int y, int x, int count, const std::uint8_t* line, int pitch) const;

 private:
  void write_channel(int c, std::ptrdiff_t at, int count, const std::uint8_t* value) const;

  const PreprocessPlan& plan_;
  const CpuKernels& kernels_;
  void* dst_;
  std::ptrdiff_t pixel_step_;
  std::ptrdiff_t channel_step_;
};

// All that lies around the picture's place in the rows begin..end - 1 of the tensor.
void write_padding(const PreprocessPlan& plan, const Placement& at, int begin, int end,
                   const TensorWriter& writer);

}  // namespace edgedl
