#include "kernels/softmax_rows.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "kernels/softmax_math.h"
#include "simd/targets.h"

namespace edgedl {
namespace {

// The `count` best values so far, and how large a value must be to be looked at.
class Best {
 public:
  Best(std::vector<Ranked>& best, int count, float least)
      : best_(best), count_(static_cast<std::size_t>(count)), bar_(least) {
    best_.clear();
  }

  float bar() const { return bar_; }

  void add(const float* values, int from, int to) {
    for (int i = from; i < to; ++i) {
      if (values[i] >= bar_) insert({values[i], i});
    }
  }

 private:
  void insert(Ranked one) {
    if (best_.size() == count_) {
      if (one.value == best_.back().value) return;  // the earlier one stays
      best_.pop_back();
    }
    const auto smaller = [](Ranked a, Ranked b) { return a.value > b.value; };
    best_.insert(std::upper_bound(best_.begin(), best_.end(), one, smaller), one);
    if (best_.size() == count_) bar_ = best_.back().value;
  }

  std::vector<Ranked>& best_;
  std::size_t count_;
  float bar_;
};

}  // namespace

RowSum RowRanker::rank(const float* row, int width, int count) {
  const CpuKernels& kernels = active_target();
  const int chunks = (width + kLanes - 1) / kLanes;
  maxima_.resize(static_cast<std::size_t>(chunks));
  kernels.chunk_maxima(row, width, maxima_.data());

  // each of the `count` best chunks has a value as large as the least of their maxima
  Best of_chunks(best, std::min(count, chunks), -INFINITY);
  of_chunks.add(maxima_.data(), 0, chunks);
  if (best.empty()) return {NAN, NAN};
  const float largest = best.front().value;
  const bool are_enough = best.size() == static_cast<std::size_t>(count);
  Best of_values(best, count, are_enough ? best.back().value : -INFINITY);
  for (int chunk = 0; chunk < chunks; ++chunk) {
    if (maxima_[static_cast<std::size_t>(chunk)] < of_values.bar()) continue;
    of_values.add(row, chunk * kLanes, std::min((chunk + 1) * kLanes, width));
  }
  return {largest, kernels.sum_of_exp(row, width, largest)};
}

}  // namespace edgedl
