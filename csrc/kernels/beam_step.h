// beam_step: one step of G beam searches of B hypotheses each, all T tokens long so far.
//
//   logits    float32  (R, V)  packed: of the hypotheses that are still written
//   history   int64    (R, T)  packed: their tokens
//   row       int64    (G, B)  where in logits a hypothesis stands; -1: it is not written any more
//   log_prob  float64  (G, B)  of all its tokens; -inf: there is none in this place
//   score     float64  (G, B)  of hypotheses that are complete (row -1)
//
//   parent    int64    (G, B)  place of the hypothesis that goes on here
//   token     int64    (G, B)  what it goes on with
//   and log_prob and score after that, best first
//
// Candidates are the complete hypotheses as they are, with the token `end`, and each other one with
// each token t: its log-probability grows by log_softmax(logits)[t], which is
// x - largest - ln(sum of e^(x - largest)), see softmax_math.h, and its score is that over
// `penalty`. The B best scores are taken; among equals the lower place first, within one hypothesis
// the larger logit, then the lower token. No candidates are: tokens of probability 0; `end` unless
// may_end; tokens that would repeat `no_repeat` tokens in a row (0: none). Probabilities are not
// shared out anew among those left. Places without a candidate get their own place as parent, `end`
// and -inf. Of a search that has a row beyond R - 1, or one with a NaN or whose largest logit is
// not finite, parent and token are -1, log_prob and score NaN. Outputs must not overlap inputs.
#pragma once

#include <cstddef>
#include <cstdint>

struct CUstream_st;  // cudaStream_t without the CUDA headers

namespace edgedl {

constexpr int kMostBeams = 64;

struct BeamStep {
  int searches, beams, rows, width, length;  // G, B <= kMostBeams, R, V, T
  int end;
  int no_repeat;
  bool may_end;
  double penalty;  // > 0
};

struct BeamsBefore {
  const float* logits;
  const std::int64_t* history;
  const std::int64_t* row;
  const double* log_prob;
  const double* score;
};

struct BeamsAfter {
  std::int64_t* parent;
  std::int64_t* token;
  double* log_prob;
  double* score;
};

void beam_step_cpu(const BeamStep& job, const BeamsBefore& before, const BeamsAfter& after);

// Device memory. Returns once the work is queued on the stream. Not yet run on a GPU.
void beam_step_cuda(const BeamStep& job, const BeamsBefore& before, const BeamsAfter& after,
                    void* scratch, CUstream_st* stream);

// Bytes of device memory, aligned to 8, that beam_step_cuda needs as scratch.
std::size_t beam_step_scratch_bytes(const BeamStep& job);

// The CUDA kernels' code on the host, for tests: see core/grid.h for `order`.
void beam_step_emulated(const BeamStep& job, const BeamsBefore& before, const BeamsAfter& after,
                        int order);

}  // namespace edgedl
