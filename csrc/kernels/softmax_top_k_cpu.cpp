#include <cmath>

#include "kernels/softmax_math.h"
#include "kernels/softmax_rows.h"
#include "kernels/softmax_top_k.h"

namespace edgedl {

void softmax_top_k_cpu(const SoftmaxTopK& job, const float* logits, float* probabilities,
                       std::int64_t* indices) {
  RowRanker ranker;
  for (int n = 0; n < job.rows; ++n) {
    const RowSum sum = ranker.rank(logits, job.width, job.count);
    const bool is_finite = !std::isnan(sum.sum);
    for (int k = 0; k < job.count; ++k) {
      if (is_finite) {
        const Ranked& one = ranker.best[static_cast<std::size_t>(k)];
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
