#include "kernels/preprocess_linear.h"

#include <algorithm>
#include <utility>

namespace edgedl {
namespace {

int bytes_per_pixel(const PreprocessPlan& plan) {
  return converts(plan) || plan.source_format == SourceFormat::kGray8 ? 1 : 3;
}

constexpr int kRowsAhead = 2;  // to prefetch

class LinearRows : public TensorRows {
 public:
  LinearRows(const LinearTables& tables, SourceRows& source)
      : source_(source),
        kernels_(active_target()),
        down_(tables.down),
        ahead_(tables.ahead),
        table_{tables.step,
               tables.width,
               pitch_of(tables.width),
               tables.bytes,
               tables.is_paired,
               tables.is_exact,
               tables.next,
               tables.offset.data(),
               tables.weights.data(),
               tables.blocks.empty() ? nullptr : tables.blocks.data()} {
    for (auto& slot : across_) slot.resize(size_of(table_.pitch * source.channels().count));
  }

  void make(int y, std::uint8_t* line) override {
    const Neighbours rows = neighbours(y);
    kernels_.linear_down(rows.above, rows.below, rows.weight0, rows.weight1,
                         table_.pitch * source_.channels().count, line);
  }

  bool make_planes(int y, const PlaneRow& to) override {
    if (to.dtype != DType::kFloat32) return false;
    const Neighbours rows = neighbours(y);
    for (int c = 0; c < source_.channels().count; ++c) {
      const std::ptrdiff_t run = std::ptrdiff_t{c} * table_.pitch;
      kernels_.linear_down_float32(rows.above + run, rows.below + run, rows.weight0, rows.weight1,
                                   table_.count, to.scale[c], to.bias[c],
                                   static_cast<float*>(to.first) + c * to.apart);
    }
    return true;
  }

 private:
  struct Neighbours {
    const std::int16_t* above;
    const std::int16_t* below;
    std::int16_t weight0, weight1;
  };

  Neighbours neighbours(int y) {
    const math::LinearTaps& taps = down_[size_of(y)];
    const std::int16_t* above = across(taps.index0);
    const std::int16_t* below = taps.weight1 == 0 ? above : across(taps.index1);
    return {above, below, taps.weight0, taps.weight1};
  }

  // The source row y interpolated across. Rows y and y + 1 sit in different slots and stay there
  // for the next row of the tensor.
  const std::int16_t* across(int y) {
    std::int16_t* out = across_[y & 1].data();
    if (held_[y & 1] == y) return out;
    held_[y & 1] = y;
    const int soon = ahead_[size_of(y)];
    kernels_.linear_across(source_.row(y, soon), source_.in_place(soon), source_.channels(), table_,
                           out);
    return out;
  }

  SourceRows& source_;
  const CpuKernels& kernels_;
  const std::vector<math::LinearTaps>& down_;
  const std::vector<int>& ahead_;
  const LinearTable table_;
  std::vector<std::int16_t> across_[2];
  int held_[2] = {-1, -1};
};

class NearestRows : public TensorRows {
 public:
  NearestRows(const NearestTables& tables, SourceRows& source)
      : tables_(tables), source_(source), kernels_(active_target()) {}

  void make(int y, std::uint8_t* line) override { pick(y, line, pitch_of(tables_.width)); }

  bool make_planes(int y, const PlaneRow& to) override {
    if (to.dtype != DType::kUint8) return false;
    pick(y, static_cast<std::uint8_t*>(to.first), static_cast<int>(to.apart));
    return true;
  }

 private:
  void pick(int y, std::uint8_t* line, int pitch) {
    if (size_of(y) + kRowsAhead < tables_.down.size()) {
      source_.prefetch(tables_.down[size_of(y) + kRowsAhead]);
    }
    const std::uint8_t* row = source_.row(tables_.down[size_of(y)]);
    if (tables_.is_whole) {
      kernels_.split_pixels(row, source_.channels(), tables_.width, pitch, line);
    } else {
      kernels_.pick_pixels(row, source_.channels(), tables_.offset.data(), tables_.width, pitch,
                           line);
    }
  }

  const NearestTables& tables_;
  SourceRows& source_;
  const CpuKernels& kernels_;
};

// The same neighbours in a row that runs backwards.
math::LinearTaps mirrored(const math::LinearTaps& taps, int source) {
  const int first = source - 1 - taps.index1;
  const int second = source - 1 - taps.index0;
  if (first == second) return {first, second, taps.weight0, taps.weight1};
  return {first, second, taps.weight1, taps.weight0};
}

// `across` and `down` say which pixel of the turned crop each column and row picks.
NearestTables picking_tables(const PreprocessPlan& plan, const Placement& at,
                             std::vector<int> across, std::vector<int> down) {
  NearestTables tables{};
  if (runs_backwards(plan)) {
    std::reverse(across.begin(), across.end());
    for (int& x : across) x = at.crop_width - 1 - x;
  }
  tables.width = at.width;
  tables.is_whole = at.width == at.crop_width;
  tables.down = std::move(down);
  const bool sparse = converts(plan) && !tables.is_whole;
  if (sparse) tables.columns = listed_columns(across);
  for (int x = 0; x < at.width; ++x) {
    tables.offset.push_back(sparse ? x : across[size_of(x)] * bytes_per_pixel(plan));
  }
  return tables;
}

LinearTable::Step step_of(const Placement& at, bool enlarging_area) {
  if (at.crop_width == at.width) return LinearTable::kEachPixel;
  const bool halves = at.crop_width == 2 * at.width && !enlarging_area;
  return halves ? LinearTable::kEachPair : LinearTable::kAny;
}

// Whether `count` pixels, of which each needs `reach` bytes, lie in one vector or two, and where
// those begin.
bool fit_together(const std::int32_t* offset, int count, int reach, int bytes, std::int32_t* from) {
  constexpr int kVector = 64;
  const int end = offset[count - 1] + reach;
  for (const int vectors : {1, 2}) {
    const int first = std::min(offset[0], bytes - vectors * kVector);
    if (first < 0 || end - first > vectors * kVector) continue;
    from[0] = first;
    from[1] = first + (vectors - 1) * kVector;
    return true;
  }
  return false;
}

LinearBlock block_of(const std::int32_t* offset, const std::uint32_t* weights, int step,
                     int bytes) {
  constexpr int kHalf = LinearBlock::kPixels / 2;
  const int reach = 2 * step;  // bytes of two neighbours
  LinearBlock block{};
  block.kind = LinearBlock::kApart;
  if (fit_together(offset, LinearBlock::kPixels, reach, bytes, block.from)) {
    block.kind = LinearBlock::kTogether;
  } else if (fit_together(offset, kHalf, reach, bytes, block.from) &&
             fit_together(offset + kHalf, kHalf, reach, bytes, block.from + 2)) {
    block.kind = LinearBlock::kHalves;
  }
  const bool together = block.kind == LinearBlock::kTogether;
  const bool apart = block.kind == LinearBlock::kApart;
  for (int i = 0; i < LinearBlock::kPixels; ++i) {
    const int half = i / kHalf;
    if (apart) block.from[i] = std::min(offset[i], bytes - 8);
    const int from = block.from[apart ? i : together ? 0 : 2 * half];
    const int first = offset[i] - from + (apart ? i % kHalf * 8 : 0);
    const int weight0 = static_cast<int>(weights[i] & 0xffff);
    const int weight1 = static_cast<int>(weights[i] >> 16);
    const int near = weight0 >= weight1 ? first : first + step;
    const int far = weight0 >= weight1 ? first + step : first;
    const int at = together ? 2 * i + 1 : 64 * half + 2 * (i % kHalf) + 1;
    block.place[at] = static_cast<std::uint8_t>(near);
    block.place[at + (together ? 64 : 32)] = static_cast<std::uint8_t>(far);
    block.weight[i] = static_cast<std::int16_t>(-32 * std::min(weight0, weight1));
  }
  return block;
}

bool add_up(const std::vector<std::uint32_t>& weights) {
  return std::all_of(weights.begin(), weights.end(),
                     [](std::uint32_t both) { return (both & 0xffff) + (both >> 16) == 2048; });
}

// What memory prefetches by itself ends with each row: for each row that is read the one that is to
// be prefetched, or -1.
std::vector<int> rows_ahead(const std::vector<math::LinearTaps>& down, int rows) {
  std::vector<int> read;
  for (const math::LinearTaps& taps : down) {
    if (read.empty() || read.back() < taps.index0) read.push_back(taps.index0);
    if (taps.weight1 != 0 && read.back() < taps.index1) read.push_back(taps.index1);
  }
  std::vector<int> ahead(size_of(rows), -1);
  for (std::size_t i = 0; i + kRowsAhead < read.size(); ++i) {
    ahead[size_of(read[i])] = read[i + kRowsAhead];
  }
  return ahead;
}

std::vector<LinearBlock> blocks_of(const LinearTables& tables, int step) {
  std::vector<LinearBlock> blocks;
  if (!tables.is_exact || tables.next == 0 || tables.bytes < 8) return blocks;
  for (std::size_t i = 0; i < tables.offset.size(); i += LinearBlock::kPixels) {
    blocks.push_back(block_of(&tables.offset[i], &tables.weights[i], step, tables.bytes));
  }
  return blocks;
}

}  // namespace

LinearTables linear_tables(const PreprocessPlan& plan, const Placement& at, int source_width,
                           bool enlarging_area) {
  LinearTables tables{};
  std::vector<int> first;
  tables.step = step_of(at, enlarging_area);
  tables.width = at.width;
  const int step = bytes_per_pixel(plan);
  const bool backwards = runs_backwards(plan);
  tables.next = at.crop_width > 1 ? step : 0;
  const bool sparse = converts(plan) && at.width * 2 < at.crop_width;
  tables.is_paired = sparse;
  tables.bytes = sparse ? 2 * at.width : at.crop_width * step;
  for (int i = 0; i < pitch_of(at.width); ++i) {
    const int x = std::min(i, at.width - 1);
    math::LinearTaps taps = math::linear_taps(backwards ? at.width - 1 - x : x, at.crop_width,
                                              at.width, enlarging_area, true);
    if (backwards) taps = mirrored(taps, at.crop_width);
    if (taps.index0 > 0 && taps.index0 == at.crop_width - 1) {  // so that a second one exists
      --taps.index0;
      std::swap(taps.weight0, taps.weight1);
    }
    if (sparse && x == i) first.push_back(taps.index0);
    tables.offset.push_back(sparse ? 2 * x : taps.index0 * step);
    tables.weights.push_back(static_cast<std::uint32_t>(taps.weight0) |
                             static_cast<std::uint32_t>(taps.weight1) << 16);
  }
  tables.is_exact = add_up(tables.weights);
  tables.blocks = blocks_of(tables, step);
  if (sparse) tables.columns = paired_columns(plan, at, source_width, first);
  for (int y = 0; y < at.height; ++y) {
    tables.down.push_back(math::linear_taps(y, at.crop_height, at.height, enlarging_area, false));
  }
  tables.ahead = rows_ahead(tables.down, at.crop_height);
  return tables;
}

NearestTables nearest_tables(const PreprocessPlan& plan, const Placement& at) {
  std::vector<int> across, down;
  for (int x = 0; x < at.width; ++x) {
    across.push_back(math::nearest_index(x, at.crop_width, at.width));
  }
  for (int y = 0; y < at.height; ++y) {
    down.push_back(math::nearest_index(y, at.crop_height, at.height));
  }
  return picking_tables(plan, at, std::move(across), std::move(down));
}

bool only_picks(const LinearTables& tables) {
  const auto all_on_one = [](std::uint32_t weights) {
    return weights == 2048 || weights == 2048u << 16;
  };
  return std::all_of(tables.weights.begin(), tables.weights.end(), all_on_one) &&
         std::all_of(tables.down.begin(), tables.down.end(), [](const math::LinearTaps& taps) {
           return taps.weight0 == 0 || taps.weight1 == 0;
         });
}

NearestTables picks_of(const PreprocessPlan& plan, const Placement& at, bool enlarging_area) {
  const auto heavier = [=](int i, int source, int target, bool across) {
    const math::LinearTaps taps = math::linear_taps(i, source, target, enlarging_area, across);
    return taps.weight0 != 0 ? taps.index0 : taps.index1;
  };
  std::vector<int> across, down;
  for (int x = 0; x < at.width; ++x) {
    across.push_back(heavier(x, at.crop_width, at.width, true));
  }
  for (int y = 0; y < at.height; ++y) {
    down.push_back(heavier(y, at.crop_height, at.height, false));
  }
  return picking_tables(plan, at, std::move(across), std::move(down));
}

std::unique_ptr<TensorRows> linear_rows(const LinearTables& tables, SourceRows& source) {
  return std::make_unique<LinearRows>(tables, source);
}

std::unique_ptr<TensorRows> nearest_rows(const NearestTables& tables, SourceRows& source) {
  return std::make_unique<NearestRows>(tables, source);
}

}  // namespace edgedl
