// What CUDA threads do with rows of logits: a block of kLanes threads for each row.
#pragma once

#include <cmath>

#include "core/grid.h"
#include "kernels/softmax_math.h"
#include "kernels/softmax_rows.h"

namespace edgedl {

// The largest value of each row, and the sum of e^(x - largest).
struct SumGrid {
  const float* logits;
  RowSum* sums;
  int rows, width;

  struct Shared {
    float maxima[kLanes];
    float lanes[kLanes];
  };
  static constexpr int kPhases = 2 * kFolds + 3;

  Dim blocks() const { return {rows, 1, 1}; }
  Dim threads() const { return {kLanes, 1, 1}; }

  template <int Phase>
  EDGEDL_HD void phase(const Thread& thread, Shared& shared) const {
    const int at = thread.at.x;
    const float* row = logits + static_cast<std::int64_t>(thread.block.x) * width;
    if constexpr (Phase == 0) {
      float largest = -INFINITY;
      for (int i = at; i < width; i += kLanes) largest = row[i] > largest ? row[i] : largest;
      shared.maxima[at] = largest;
    } else if constexpr (Phase <= kFolds) {
      constexpr int half = kLanes >> Phase;
      if (at < half && shared.maxima[at + half] > shared.maxima[at]) {
        shared.maxima[at] = shared.maxima[at + half];
      }
    } else if constexpr (Phase == kFolds + 1) {
      float sum = 0.0f;
      for (int i = at; i < width; i += kLanes) {
        sum += math::exp_of_nonpositive(row[i] - shared.maxima[0]);
      }
      shared.lanes[at] = sum;
    } else if constexpr (Phase <= 2 * kFolds + 1) {
      constexpr int half = kLanes >> (Phase - kFolds - 1);
      if (at < half) shared.lanes[at] += shared.lanes[at + half];
    } else if (at == 0) {
      sums[thread.block.x] = {shared.maxima[0], shared.lanes[0]};
    }
  }
};

// The best value after that of the round before, or -1 where there is none: as many rounds, one
// launch each, as values are wanted. Allowed says of (row, index) whether that may be taken.
template <class Allowed>
struct RankGrid {
  const float* logits;
  std::int64_t* indices;  // (rows, count)
  int rows, width, count, round;
  Allowed allowed;

  struct Shared {
    float values[kLanes];
    int indices[kLanes];
  };
  static constexpr int kPhases = kFolds + 2;

  Dim blocks() const { return {rows, 1, 1}; }
  Dim threads() const { return {kLanes, 1, 1}; }

  template <int Phase>
  EDGEDL_HD void phase(const Thread& thread, Shared& shared) const {
    const int at = thread.at.x;
    std::int64_t* found = indices + static_cast<std::int64_t>(thread.block.x) * count + round;
    if constexpr (Phase == 0) {
      const float* row = logits + static_cast<std::int64_t>(thread.block.x) * width;
      const int before = round > 0 ? static_cast<int>(found[-1]) : -1;
      const bool is_over = round > 0 && before < 0;
      float value = -INFINITY;
      int index = -1;
      for (int i = at; i < width && !is_over; i += kLanes) {
        const bool is_after = before < 0 || comes_first(row[before], before, row[i], i);
        if (is_after && comes_first(row[i], i, value, index) && allowed(thread.block.x, i)) {
          value = row[i];
          index = i;
        }
      }
      shared.values[at] = value;
      shared.indices[at] = index;
    } else if constexpr (Phase <= kFolds) {
      constexpr int half = kLanes >> Phase;
      if (at < half && shared.indices[at + half] >= 0 &&
          comes_first(shared.values[at + half], shared.indices[at + half], shared.values[at],
                      shared.indices[at])) {
        shared.values[at] = shared.values[at + half];
        shared.indices[at] = shared.indices[at + half];
      }
    } else if (at == 0) {
      *found = shared.indices[0];
    }
  }

  EDGEDL_HD static bool comes_first(float value, int index, float than, int than_index) {
    return than_index < 0 || value > than || (value == than && index < than_index);
  }
};

}  // namespace edgedl
