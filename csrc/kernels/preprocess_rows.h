// The steps of preprocess_cpu: rows of the source as channels, rows of the tensor as lines.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/preprocess_cpu.h"
#include "simd/targets.h"

namespace edgedl {

using Line = std::vector<std::uint8_t>;

inline std::size_t size_of(std::ptrdiff_t count) {
  return static_cast<std::size_t>(count);
}

// Whether a source pixel is more than bytes in another order.
inline bool converts(const PreprocessPlan& plan) {
  const bool color =
      plan.source_format == SourceFormat::kBgr8 || plan.source_format == SourceFormat::kRgb8;
  const bool gray = plan.source_format == SourceFormat::kGray8;
  return !gray && !(color && channels_of(plan) == 3);
}

// The crop of a picture, row by row, as the tensor's channels. Formats that need a conversion are
// converted here, the whole row or only the columns that are listed.
class SourceRows {
 public:
  SourceRows(const PreprocessPlan& plan, const Picture& picture, const Placement& at,
             const std::vector<int>& columns, int held = 1);

  const Channels& channels() const { return channels_; }

  // Good until `held` more rows were asked for.
  const std::uint8_t* row(int y);

 private:
  void gather(const std::uint8_t* from, int step, int shift, std::uint8_t* out) const;
  void read_components(int y, std::uint8_t* line) const;

  const PreprocessPlan& plan_;
  const Picture& picture_;
  const Placement at_;
  const std::vector<int>& columns_;
  const CpuKernels& kernels_;
  Channels channels_;
  int count_;  // pixels of a converted row
  int pitch_;
  Line lines_;
  std::size_t next_ = 0;  // where in lines_ the next row goes
};

// Makes the rows of the picture's place in the tensor. line[c][x] has a pitch of
// pitch_of(at.width); y is 0..at.height - 1. Rows may come in any order, ascending ones are fast.
class TensorRows {
 public:
  virtual ~TensorRows() = default;
  virtual void make(int y, std::uint8_t* line) = 0;
};

}  // namespace edgedl
