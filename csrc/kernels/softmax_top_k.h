// softmax_top_k: the likeliest entries of each row of logits, and their probabilities.
//
//   logits         float32  (N, C)  packed; C >= 1
//   probabilities  float32  (N, K)  packed, largest first; K in 1..C
//   indices        int64    (N, K)  packed, by logit; the lowest first among equals
//
// p = e^(x - largest) * (1 / sum), all in float32, see softmax_math.h. A row that has a NaN or
// whose largest logit is not finite gets NaN and -1. Outputs must not overlap the input.
#pragma once

#include <cstddef>
#include <cstdint>

struct CUstream_st;  // cudaStream_t without the CUDA headers

namespace edgedl {

struct SoftmaxTopK {
  int rows, width, count;  // N, C, K
};

void softmax_top_k_cpu(const SoftmaxTopK& job, const float* logits, float* probabilities,
                       std::int64_t* indices);

// Device memory. Returns once the work is queued on the stream. Not yet run on a GPU.
void softmax_top_k_cuda(const SoftmaxTopK& job, const float* logits, float* probabilities,
                        std::int64_t* indices, void* scratch, CUstream_st* stream);

// Bytes of device memory that softmax_top_k_cuda needs as scratch.
std::size_t softmax_top_k_scratch_bytes(const SoftmaxTopK& job);

// The CUDA kernels' code on the host, for tests: see core/grid.h for `order`.
void softmax_top_k_emulated(const SoftmaxTopK& job, const float* logits, float* probabilities,
                            std::int64_t* indices, int order);

}  // namespace edgedl
