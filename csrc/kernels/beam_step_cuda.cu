#include "core/launch.h"
#include "kernels/beam_step_grid.h"

namespace edgedl {

void beam_step_cuda(const BeamStep& job, const BeamsBefore& before, const BeamsAfter& after,
                    void* scratch, CUstream_st* stream) {
  beam_step_on_grid(job, before, after, scratch,
                    [&](const auto& kernel) { launch("beam_step_cuda", kernel, stream); });
}

}  // namespace edgedl
