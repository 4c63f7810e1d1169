// What each target compiles of lstm_step: see simd/targets.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/lstm_step.h"

namespace edgedl {

// What lies between the products of a step.
struct LstmRoom {
  float* looked;        // (N, embedding + hidden)
  float* query;         // (N, attention)
  float* terms;         // (attention)
  float* weights;       // (positions)
  float* read;          // (N, embedding + seen + hidden)
  float* gates;         // (N, 4 hidden)
  std::uint8_t* bytes;  // (N, the most inputs of a product, rounded up to a group)
  float* scales;        // (N)
  std::int32_t* zeros;  // (N)
};

using LstmStepRows = void (*)(const LstmStep& net, const LstmRows& rows, const LstmRoom& room);

}  // namespace edgedl
