#include <vector>

#include "kernels/beam_step_grid.h"

namespace edgedl {

std::size_t beam_step_scratch_bytes(const BeamStep& job) {
  const auto rows = static_cast<std::size_t>(job.rows);
  return rows * static_cast<std::size_t>(job.beams) * sizeof(std::int64_t) + rows * sizeof(RowSum);
}

void beam_step_emulated(const BeamStep& job, const BeamsBefore& before, const BeamsAfter& after,
                        int order) {
  std::vector<std::int64_t> scratch(beam_step_scratch_bytes(job) / sizeof(std::int64_t));
  beam_step_on_grid(job, before, after, scratch.data(),
                    [&](const auto& kernel) { emulate(kernel, order); });
}

}  // namespace edgedl
