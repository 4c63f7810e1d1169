#include "core/launch.h"
#include "kernels/preprocess_grid.h"

namespace edgedl {

bool built_with_cuda() {
  return true;
}

void preprocess_cuda(const PreprocessPlan& plan, const Picture* pictures, int count, void* dst,
                     CUstream_st* stream) {
  run_preprocess_grids(plan, pictures, count, dst,
                       [stream](const auto& kernel) { launch("preprocess_cuda", kernel, stream); });
}

}  // namespace edgedl
