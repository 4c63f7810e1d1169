// lstm_greedy: the most probable words of a caption decoder, one after another.
//
//   h, c         float32  (N, H)  packed, as for lstm_step; features too
//   token        int64    (T, N)  packed: what each step says, the lowest among equals
//   probability  float32  (T, N)  packed: of that, see softmax_top_k.h
//
// A step is told what the one before it said, the first one `begin`. A row that has said `end`
// says nothing else any more. Steps end when all rows have, when there were T, or when a row has
// logits of which none is the most probable: its token is -1.
#pragma once

#include <cstdint>

#include "kernels/lstm_step.h"

namespace edgedl {

// Packed; the outputs overlap neither the inputs nor each other.
struct LstmGreedy {
  int rows, steps;          // N, T
  std::int64_t begin, end;  // each in 0..tokens - 1
  const float* h;
  const float* c;
  const float* features;
  std::int64_t* token;
  float* probability;
};

// Returns how many steps were taken; of the others nothing is written.
int lstm_greedy_cpu(const LstmStep& net, const LstmGreedy& job);

}  // namespace edgedl
