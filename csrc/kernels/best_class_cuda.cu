#include "core/launch.h"
#include "kernels/best_class_grid.h"

namespace edgedl {

void best_class_cuda(const BestClass& job, const float* src, float* scores, std::int32_t* classes,
                     CUstream_st* stream) {
  launch("best_class_cuda", BestClassGrid{job, src, scores, classes}, stream);
}

}  // namespace edgedl
