#include "kernels/preprocess_linear.h"

#include <algorithm>

namespace edgedl {
namespace {

int bytes_per_pixel(const PreprocessPlan& plan) {
  return converts(plan) || plan.source_format == SourceFormat::kGray8 ? 1 : 3;
}

class LinearRows : public TensorRows {
 public:
  LinearRows(const LinearTables& tables, SourceRows& source)
      : source_(source),
        kernels_(active_target()),
        down_(tables.down),
        table_{tables.width, pitch_of(tables.width), tables.bytes,
               tables.next,  tables.offset.data(),   tables.weights.data()} {
    for (auto& slot : across_) slot.resize(size_of(table_.pitch * source.channels().count));
  }

  void make(int y, std::uint8_t* line) override {
    const math::LinearTaps& taps = down_[size_of(y)];
    prefetch(y + kRowsAhead);
    const std::int16_t* above = across(taps.index0);
    const std::int16_t* below = taps.weight1 == 0 ? above : across(taps.index1);
    kernels_.linear_down(above, below, taps.weight0, taps.weight1,
                         table_.pitch * source_.channels().count, line);
  }

 private:
  // What memory prefetches by itself ends with each row.
  void prefetch(int y) {
    if (y >= static_cast<int>(down_.size())) return;
    const math::LinearTaps& taps = down_[size_of(y)];
    const int last = taps.weight1 == 0 ? taps.index0 : taps.index1;
    for (int row = std::max(taps.index0, prefetched_ + 1); row <= last; ++row) {
      source_.prefetch(row);
      prefetched_ = row;
    }
  }

  static constexpr int kRowsAhead = 2;

  // The source row y interpolated across. Rows y and y + 1 sit in different slots and stay there
  // for the next row of the tensor.
  const std::int16_t* across(int y) {
    std::int16_t* out = across_[y & 1].data();
    if (held_[y & 1] == y) return out;
    held_[y & 1] = y;
    kernels_.linear_across(source_.row(y), source_.channels(), table_, out);
    return out;
  }

  SourceRows& source_;
  const CpuKernels& kernels_;
  const std::vector<math::LinearTaps>& down_;
  const LinearTable table_;
  std::vector<std::int16_t> across_[2];
  int held_[2] = {-1, -1};
  int prefetched_ = -1;
};

class NearestRows : public TensorRows {
 public:
  NearestRows(const NearestTables& tables, SourceRows& source)
      : tables_(tables), source_(source), kernels_(active_target()) {}

  void make(int y, std::uint8_t* line) override {
    kernels_.pick_pixels(source_.row(tables_.down[size_of(y)]), source_.channels(),
                         tables_.offset.data(), tables_.width, pitch_of(tables_.width), line);
  }

 private:
  const NearestTables& tables_;
  SourceRows& source_;
  const CpuKernels& kernels_;
};

}  // namespace

LinearTables linear_tables(const PreprocessPlan& plan, const Placement& at, int source_width,
                           bool enlarging_area) {
  LinearTables tables{};
  std::vector<int> first;
  tables.width = at.width;
  const int step = bytes_per_pixel(plan);
  tables.next = at.crop_width > 1 ? step : 0;
  const bool sparse = converts(plan) && at.width * 2 < at.crop_width;
  tables.bytes = sparse ? 2 * at.width : at.crop_width * step;
  for (int i = 0; i < pitch_of(at.width); ++i) {
    const int x = std::min(i, at.width - 1);
    math::LinearTaps taps = math::linear_taps(x, at.crop_width, at.width, enlarging_area, true);
    if (taps.index0 > 0 && taps.index0 == at.crop_width - 1) {  // so that a second one exists
      --taps.index0;
      std::swap(taps.weight0, taps.weight1);
    }
    if (sparse && x == i) first.push_back(taps.index0);
    tables.offset.push_back(sparse ? 2 * x : taps.index0 * step);
    tables.weights.push_back(static_cast<std::uint32_t>(taps.weight0) |
                             static_cast<std::uint32_t>(taps.weight1) << 16);
  }
  if (sparse) tables.columns = paired_columns(plan, at, source_width, first);
  for (int y = 0; y < at.height; ++y) {
    tables.down.push_back(math::linear_taps(y, at.crop_height, at.height, enlarging_area, false));
  }
  return tables;
}

NearestTables nearest_tables(const PreprocessPlan& plan, const Placement& at) {
  NearestTables tables{};
  tables.width = at.width;
  std::vector<int> columns;
  const bool sparse = converts(plan) && at.width < at.crop_width;
  for (int i = 0; i < pitch_of(at.width); ++i) {
    const int x = std::min(i, at.width - 1);
    const int index = math::nearest_index(x, at.crop_width, at.width);
    if (sparse && x == i) columns.push_back(index);
    tables.offset.push_back(sparse ? x : index * bytes_per_pixel(plan));
  }
  tables.columns = listed_columns(columns);
  for (int y = 0; y < at.height; ++y) {
    tables.down.push_back(math::nearest_index(y, at.crop_height, at.height));
  }
  return tables;
}

std::unique_ptr<TensorRows> linear_rows(const LinearTables& tables, SourceRows& source) {
  return std::make_unique<LinearRows>(tables, source);
}

std::unique_ptr<TensorRows> nearest_rows(const NearestTables& tables, SourceRows& source) {
  return std::make_unique<NearestRows>(tables, source);
}

}  // namespace edgedl
