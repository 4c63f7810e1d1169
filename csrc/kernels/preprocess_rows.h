// The steps of preprocess_cpu: rows of the source as channels, rows of the tensor as lines.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/preprocess_cpu.h"
#include "kernels/preprocess_math.h"
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
  return plan.turn.transposed || (!gray && !(color && channels_of(plan) == 3));
}

// Whether rows are read as they lie in memory, which is the picture from right to left.
inline bool runs_backwards(const PreprocessPlan& plan) {
  return plan.turn.columns_reversed && !plan.turn.transposed;
}

// Where the crop begins in a row, in the order in which rows are read.
inline int first_column(const PreprocessPlan& plan, const Placement& at, int source_width) {
  return runs_backwards(plan) ? source_width - at.crop_x - at.crop_width : at.crop_x;
}

// See PairTable.
struct Pairs {
  std::vector<std::int32_t> offset;
  std::vector<PairChunk> chunks;
};

// Which pixels of each row SourceRows converts: all of the crop, or those listed, ascending.
struct Columns {
  std::vector<int> at;
  std::vector<std::int32_t> rgb_offset;  // bytes, where a pixel has three
  // where each is the first of two neighbours: bytes of luma, and of chroma pairs, in the row
  Pairs luma, chroma;
};

Columns all_columns();
Columns listed_columns(std::vector<int> at);
// first[i] and first[i] + 1, for all i
Columns paired_columns(const PreprocessPlan& plan, const Placement& at, int source_width,
                       const std::vector<int>& first);

// The crop of a turned picture, row by row, as the tensor's channels; rows that run backwards
// begin with the last pixel. Formats that need a conversion are converted here.
class SourceRows {
 public:
  SourceRows(const PreprocessPlan& plan, const Picture& picture, const Placement& at,
             const Columns& columns, int held = 1);

  const Channels& channels() const { return channels_; }

  // Good until `held` more rows were asked for. While it is converted, if it is, memory brings the
  // row `soon`, unless that is -1.
  const std::uint8_t* row(int y, int soon = -1);

  // Where row y lies in memory; nullptr if y is -1 or rows are converted.
  const std::uint8_t* in_place(int y) const;

  // Tells the CPU that this row will be asked for.
  void prefetch(int y) const;

 private:
  RowAhead ahead(int y) const;
  void gather(const std::uint8_t* from, int step, int shift, int apart, std::uint8_t* out) const;
  void read_rgb(const math::Row& row, std::uint8_t* line);
  void read_luma(const math::Row& row);
  void read_chroma(const math::Row& row);
  void read_column(int x, std::uint8_t* line);

  const PreprocessPlan& plan_;
  const Picture& picture_;
  const Placement at_;
  const Columns& columns_;
  const CpuKernels& kernels_;
  Channels channels_;
  int first_;  // the first pixel of the crop
  int begin_;  // the first pixel that is converted
  int count_;  // of those
  int pitch_;
  int chroma_held_ = -1;  // the row of chroma that lies in chroma_
  Line luma_, chroma_;
  Line lines_;
  std::size_t next_ = 0;  // where in lines_ the next row goes
};

// A row of a tensor whose channels lie `apart` values from one another.
struct PlaneRow {
  DType dtype;
  void* first;
  std::ptrdiff_t apart;
  const float* scale;
  const float* bias;
};

// Makes the rows of the picture's place in the tensor; lines run backwards where rows do.
// line[c][x] has a pitch of pitch_of(at.width); y is 0..at.height - 1. Rows may come in any order,
// ascending ones are fast.
class TensorRows {
 public:
  virtual ~TensorRows() = default;
  virtual void make(int y, std::uint8_t* line) = 0;

  // Straight into the tensor, where that takes fewer steps; false: nothing is written.
  virtual bool make_planes(int, const PlaneRow&) { return false; }
};

}  // namespace edgedl
