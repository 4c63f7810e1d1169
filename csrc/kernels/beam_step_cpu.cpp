#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/beam_step.h"
#include "kernels/beam_step_math.h"
#include "kernels/softmax_rows.h"

namespace edgedl {
namespace {

// How many tokens of a row can be forbidden at most.
int most_forbidden(const BeamStep& job, const std::int64_t* history) {
  int count = job.may_end ? 0 : 1;
  for (int start = 0; job.no_repeat > 0 && start + job.no_repeat <= job.length; ++start) {
    count += math::goes_like_the_end(history, job.length, job.no_repeat, start);
  }
  return count;
}

}  // namespace

void beam_step_cpu(const BeamStep& job, const BeamsBefore& before, const BeamsAfter& after) {
  std::vector<RowSum> sums(static_cast<std::size_t>(job.rows));
  std::vector<std::int64_t> tokens(
      static_cast<std::size_t>(job.rows) * static_cast<std::size_t>(job.beams), -1);
  RowRanker ranker;
  for (int row = 0; row < job.rows; ++row) {
    const std::int64_t* history = before.history + static_cast<std::int64_t>(row) * job.length;
    const int wanted = std::min(job.width, job.beams + most_forbidden(job, history));
    const float* logits = before.logits + static_cast<std::int64_t>(row) * job.width;
    sums[static_cast<std::size_t>(row)] = ranker.rank(logits, job.width, wanted);
    auto next = tokens.begin() + static_cast<std::ptrdiff_t>(row) * job.beams;
    const auto end = next + job.beams;
    for (const Ranked& one : ranker.best) {
      if (next != end && math::is_candidate(job, before, row, one.index)) *next++ = one.index;
    }
  }
  for (int search = 0; search < job.searches; ++search) {
    math::SearchScratch scratch;
    math::step_search(job, before, sums.data(), tokens.data(), after, search, scratch);
  }
}

}  // namespace edgedl
