// What CUDA threads of beam_step do after those of softmax_grid.h: one search each.
#pragma once

#include "kernels/beam_step.h"
#include "kernels/beam_step_math.h"
#include "kernels/softmax_grid.h"

namespace edgedl {

struct IsCandidate {
  BeamStep job;
  BeamsBefore before;

  EDGEDL_HD bool operator()(int row, int token) const {
    return math::is_candidate(job, before, row, token);
  }
};

struct BeamStepGrid {
  BeamStep job;
  BeamsBefore before;
  BeamsAfter after;
  const RowSum* sums;
  const std::int64_t* tokens;

  static constexpr int kThreads = 32;
  static constexpr int kPhases = 1;

  // Not for others to see: lists in shared memory need no stack.
  struct Shared {
    math::SearchScratch scratch[kThreads];
  };

  Dim blocks() const { return {blocks_for(job.searches, kThreads), 1, 1}; }
  Dim threads() const { return {kThreads, 1, 1}; }

  template <int Phase>
  EDGEDL_HD void phase(const Thread& thread, Shared& shared) const {
    const int search = thread.block.x * kThreads + thread.at.x;
    if (search >= job.searches) return;
    math::step_search(job, before, sums, tokens, after, search, shared.scratch[thread.at.x]);
  }
};

// Hands all kernels to `run` in order.
template <class Run>
void beam_step_on_grid(const BeamStep& job, const BeamsBefore& before, const BeamsAfter& after,
                       void* scratch, const Run& run) {
  if (job.searches == 0) return;
  auto* tokens = static_cast<std::int64_t*>(scratch);
  auto* sums = reinterpret_cast<RowSum*>(tokens + static_cast<std::int64_t>(job.rows) * job.beams);
  if (job.rows > 0) run(SumGrid{before.logits, sums, job.rows, job.width});
  for (int round = 0; job.rows > 0 && round < job.beams; ++round) {
    run(RankGrid<IsCandidate>{
        before.logits, tokens, job.rows, job.width, job.beams, round, {job, before}});
  }
  run(BeamStepGrid{job, before, after, sums, tokens});
}

}  // namespace edgedl
