// best_class: of each anchor of a detector's output, its best class and that one's score.
//
//   src      float32  (rows, columns)  anchors are the columns, or the rows if anchors_are_rows;
//                     the other axis holds the values of an anchor: first_value.. are classes
//   scores   float32  (anchors)   the best class score; times the value at `objectness`, if any
//   classes  int32    (anchors)   the class, from 0; of equal scores the lower one
//
// NaN never wins. The score is -infinity where all are NaN, and where an objectness is not above
// the threshold: class scores are taken to be at most 1.
#pragma once

#include <cstdint>

struct CUstream_st;  // cudaStream_t without the CUDA headers

namespace edgedl {

struct BestClass {
  int anchors, values;  // values of an anchor, in all
  int first_class;
  int objectness;  // -1: none
  float threshold;
  bool anchors_are_rows;
};

void best_class_cpu(const BestClass& job, const float* src, float* scores, std::int32_t* classes);

// Device memory. Returns once the work is queued on the stream. Not yet run on a GPU.
void best_class_cuda(const BestClass& job, const float* src, float* scores, std::int32_t* classes,
                     CUstream_st* stream);

// The CUDA kernel's code on the host, for tests: see core/grid.h for `order`.
void best_class_emulated(const BestClass& job, const float* src, float* scores,
                         std::int32_t* classes, int order);

}  // namespace edgedl
