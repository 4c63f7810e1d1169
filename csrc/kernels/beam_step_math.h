// The rules of beam_step, for host and device.
#pragma once

#include <cmath>
#include <cstdint>

#include "kernels/beam_step.h"
#include "kernels/softmax_math.h"
#include "kernels/softmax_rows.h"

namespace edgedl::math {

// Whether the n - 1 tokens from `start` are those that a history ends with.
EDGEDL_HD bool goes_like_the_end(const std::int64_t* history, int length, int n, int start) {
  for (int i = 0; i < n - 1; ++i) {
    if (history[start + i] != history[length - (n - 1) + i]) return false;
  }
  return true;
}

// Whether `token` would end n tokens in a row that the history has already; never for n = 0.
EDGEDL_HD bool repeats(const std::int64_t* history, int length, int n, std::int64_t token) {
  for (int start = 0; n > 0 && start + n <= length; ++start) {
    if (history[start + n - 1] == token && goes_like_the_end(history, length, n, start)) {
      return true;
    }
  }
  return false;
}

EDGEDL_HD bool is_candidate(const BeamStep& job, const BeamsBefore& before, int row, int token) {
  const float logit = before.logits[static_cast<std::int64_t>(row) * job.width + token];
  const std::int64_t* history = before.history + static_cast<std::int64_t>(row) * job.length;
  return logit > -INFINITY && (job.may_end || token != job.end) &&
         !repeats(history, job.length, job.no_repeat, token);
}

struct SearchScratch {
  double spent[kMostBeams];  // log-probability of all tokens but the next, less ln of the sum
  int taken[kMostBeams];
};

// Takes the best of one search. `tokens` (R, B) are the best candidates of each row, best first,
// then -1; `sums` (R,) belong to the rows.
EDGEDL_HD void step_search(const BeamStep& job, const BeamsBefore& before, const RowSum* sums,
                           const std::int64_t* tokens, const BeamsAfter& after, int search,
                           SearchScratch& scratch) {
  const std::int64_t first = static_cast<std::int64_t>(search) * job.beams;
  double* const spent = scratch.spent;
  int* const taken = scratch.taken;
  bool is_usable = true;
  for (int b = 0; b < job.beams; ++b) {
    const std::int64_t row = before.row[first + b];
    taken[b] = 0;
    spent[b] = before.log_prob[first + b];
    if (row < 0) continue;
    is_usable = is_usable && row < job.rows && sums[row].sum >= 1.0f;
    if (is_usable) spent[b] -= log_of_sum(sums[row].sum);
  }
  for (int place = 0; place < job.beams && !is_usable; ++place) {
    after.parent[first + place] = after.token[first + place] = -1;
    after.log_prob[first + place] = after.score[first + place] = NAN;
  }
  for (int place = 0; place < job.beams && is_usable; ++place) {
    std::int64_t parent = place, token = job.end;
    double log_prob = -INFINITY, score = -INFINITY;
    bool found = false;
    for (int b = 0; b < job.beams; ++b) {
      const std::int64_t row = before.row[first + b];
      std::int64_t next = job.end;
      double next_log_prob = spent[b], next_score = before.score[first + b];
      if (row >= 0) {
        next = tokens[row * job.beams + taken[b]];  // taken[b] <= place
        if (next < 0) continue;
        const float logit = before.logits[row * job.width + next];
        next_log_prob += static_cast<double>(logit) - static_cast<double>(sums[row].largest);
        next_score = next_log_prob / job.penalty;
      } else if (taken[b] > 0) {
        continue;
      }
      if (!(next_log_prob > -INFINITY) || (found && !(next_score > score))) continue;
      found = true;
      parent = b;
      token = next;
      log_prob = next_log_prob;
      score = next_score;
    }
    if (found) ++taken[parent];
    after.parent[first + place] = parent;
    after.token[first + place] = token;
    after.log_prob[first + place] = log_prob;
    after.score[first + place] = score;
  }
}

}  // namespace edgedl::math
