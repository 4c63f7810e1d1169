// What softmax_top_k and beam_step do with a row of logits on the CPU.
#pragma once

#include <vector>

namespace edgedl {

// largest: of the row. sum: of e^(x - largest), >= 1; NaN if the row has a NaN or its largest is
// not finite.
struct RowSum {
  float largest;
  float sum;
};

struct Ranked {
  float value;
  int index;
};

class RowRanker {
 public:
  // Looks at a row of `width` >= 1 values: its sum, and in `best` its `count` largest values,
  // largest first, the lowest index first among equals; fewer if the row has NaNs.
  RowSum rank(const float* row, int width, int count);

  std::vector<Ranked> best;

 private:
  std::vector<float> maxima_;
};

}  // namespace edgedl
