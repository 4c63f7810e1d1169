#include "kernels/best_class_grid.h"

namespace edgedl {

void best_class_emulated(const BestClass& job, const float* src, float* scores,
                         std::int32_t* classes, int order) {
  emulate(BestClassGrid{job, src, scores, classes}, order);
}

}  // namespace edgedl
