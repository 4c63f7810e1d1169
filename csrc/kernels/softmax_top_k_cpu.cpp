#include <cmath>
#include <cstddef>

#include "kernels/softmax_math.h"
#include "kernels/softmax_rows.h"
#include "kernels/softmax_top_k.h"

namespace edgedl {

void softmax_top_k_cpu(const SoftmaxTopK& job, const float* logits, float* probabilities,
                       std::int64_t* indices) {
  RowRanker ranker;
  for (int n = 0; n < job.rows; ++n) {
    const RowSum sum = ranker.rank(logits, job.width, job.count);
    // fewer than `count` are found where another thread writes into the row meanwhile
    const std::size_t found = std::isnan(sum.sum) ? 0 : ranker.best.size();
    for (std::size_t k = 0; k < static_cast<std::size_t>(job.count); ++k) {
      if (k < found) {
        const Ranked& one = ranker.best[k];
        *probabilities++ = math::exp_of_nonpositive(one.value - sum.largest) * (1.0f / sum.sum);
        *indices++ = one.index;
      } else {
        *probabilities++ = NAN;
        *indices++ = -1;
      }
    }
    logits += job.width;
  }
}

}  // namespace edgedl
