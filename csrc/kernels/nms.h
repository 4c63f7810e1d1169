// nms: greedy non-maximum suppression; keeps the boxes that cv2.dnn.NMSBoxes keeps.
//
//   boxes   float32  (K, 4)  x1, y1, x2, y2
//   scores  float32  (K)
//   groups  int32    (K) or null; boxes of different groups never suppress one another
//   kept    int32    (K)  indices in falling order of score, of equal scores the lower one first
//
// Candidates are the boxes with finite corners and a score > score_threshold (NaN is not), of these
// the first max_candidates in that order. In that order a candidate is kept unless it overlaps one
// that was kept before, of its own group, by more than iou_threshold.
#pragma once

#include <cstddef>
#include <cstdint>

struct CUstream_st;  // cudaStream_t without the CUDA headers

namespace edgedl {

struct Nms {
  int boxes;
  float iou_threshold;    // in [0, 1]
  float score_threshold;  // not NaN
  int max_candidates;     // >= 0; 0 is no limit
};

// Returns how many are kept.
int nms_cpu(const Nms& job, const float* boxes, const float* scores, const std::int32_t* groups,
            std::int32_t* kept);

// The CUDA version sorts by counting and holds a bit for every pair of candidates.
constexpr int kNmsMostCandidates = 8192;
std::size_t nms_workspace_bytes(const Nms& job);

// Device memory, workspace aligned to 8 bytes; max_candidates in 1..kNmsMostCandidates; kept holds
// that many. *count becomes how many are kept. Returns once the work is queued on the stream.
// Not yet run on a GPU.
void nms_cuda(const Nms& job, const float* boxes, const float* scores, const std::int32_t* groups,
              void* workspace, std::int32_t* kept, std::int32_t* count, CUstream_st* stream);

// The CUDA kernels' code on the host, for tests: see core/grid.h for `order`.
int nms_emulated(const Nms& job, const float* boxes, const float* scores,
                 const std::int32_t* groups, std::int32_t* kept, int order);

}  // namespace edgedl
