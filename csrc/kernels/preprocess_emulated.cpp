#include "kernels/preprocess_grid.h"

namespace edgedl {

void preprocess_emulated(const PreprocessPlan& plan, const Picture* pictures, int count, void* dst,
                         int order) {
  run_preprocess_grids(plan, pictures, count, dst,
                       [order](const auto& kernel) { emulate(kernel, order); });
}

}  // namespace edgedl
