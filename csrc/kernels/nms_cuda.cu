#include "core/launch.h"
#include "kernels/nms_grid.h"

namespace edgedl {

void nms_cuda(const Nms& job, const float* boxes, const float* scores, const std::int32_t* groups,
              void* workspace, std::int32_t* kept, std::int32_t* count, CUstream_st* stream) {
  constexpr const char* kOperation = "nms_cuda";
  require(job.max_candidates >= 1 && job.max_candidates <= kNmsMostCandidates, kOperation,
          "max_candidates must be in 1..", kNmsMostCandidates, "; got ", job.max_candidates);
  const NmsWorkspace space(workspace, job);
  cudaMemsetAsync(space.removed, 0, 8 * static_cast<std::size_t>(space.words), stream);
  cudaMemsetAsync(count, 0, sizeof *count, stream);
  if (job.boxes == 0) return;
  launch(kOperation, NmsKeyGrid{job, boxes, scores, space.keys}, stream);
  launch(kOperation, NmsRankGrid{job, space.keys, space.order}, stream);
  launch(kOperation, NmsOverlapGrid{job, boxes, groups, space.order, space.overlaps, space.words},
         stream);
  for (int word = 0; word < space.words; ++word) {
    launch(kOperation, NmsResolveGrid{space, job.max_candidates, word, kept, count}, stream);
  }
}

}  // namespace edgedl
