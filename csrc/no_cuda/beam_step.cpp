// The symbols of beam_step_cuda.cu in a build without nvcc.
#include "kernels/beam_step.h"

#include "no_cuda/refuse.h"

namespace edgedl {

void beam_step_cuda(const BeamStep&, const BeamsBefore&, const BeamsAfter&, void*, CUstream_st*) {
  refuse("beam_step_cuda");
}

}  // namespace edgedl
