#include <cstring>
#include <vector>

#include "kernels/nms_grid.h"

namespace edgedl {

std::size_t nms_workspace_bytes(const Nms& job) {
  return NmsWorkspace::bytes(job);
}

int nms_emulated(const Nms& job, const float* boxes, const float* scores,
                 const std::int32_t* groups, std::int32_t* kept, int order) {
  std::vector<std::uint64_t> memory(nms_workspace_bytes(job) / 8 + 1, 0xCDCDCDCDCDCDCDCD);
  const NmsWorkspace space(memory.data(), job);
  std::memset(space.removed, 0, 8 * static_cast<std::size_t>(space.words));
  std::int32_t count = 0;
  emulate(NmsKeyGrid{job, boxes, scores, space.keys}, order);
  emulate(NmsRankGrid{job, space.keys, space.order}, order);
  emulate(NmsOverlapGrid{job, boxes, groups, space.order, space.overlaps, space.words}, order);
  for (int word = 0; word < space.words; ++word) {
    emulate(NmsResolveGrid{space, job.max_candidates, word, kept, &count}, order);
  }
  return count;
}

}  // namespace edgedl
