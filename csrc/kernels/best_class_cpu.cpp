#include <algorithm>

#include "kernels/best_class.h"
#include "kernels/best_class_math.h"
#include "simd/targets.h"

namespace edgedl {
namespace {

constexpr int kBlock = 512;  // anchors whose best so far stay in the nearest cache

void best_of_rows(const BestClass& job, const float* src, float* scores, std::int32_t* classes) {
  const CpuKernels& kernels = active_target();
  for (int a = 0; a < job.anchors; ++a, src += job.values) {
    scores[a] = math::no_score();
    classes[a] = 0;
    const bool has_objectness = job.objectness >= 0;
    if (has_objectness && !(src[job.objectness] > job.threshold)) continue;
    kernels.best_of_row(src + job.first_class, job.values - job.first_class, &scores[a],
                        &classes[a]);
    if (has_objectness) scores[a] *= src[job.objectness];
  }
}

}  // namespace

void best_class_cpu(const BestClass& job, const float* src, float* scores, std::int32_t* classes) {
  if (job.anchors_are_rows) {
    best_of_rows(job, src, scores, classes);
    return;
  }
  const std::ptrdiff_t step = job.anchors;
  for (int a = 0; a < job.anchors; a += kBlock) {
    const int count = std::min(kBlock, job.anchors - a);
    active_target().best_of_columns(src + job.first_class * step + a, step,
                                    job.values - job.first_class, count, scores + a, classes + a);
    if (job.objectness < 0) continue;
    const float* objectness = src + job.objectness * step + a;
    for (int i = 0; i < count; ++i) {
      scores[a + i] = math::score_of(objectness[i], scores[a + i], job.threshold);
      if (!(objectness[i] > job.threshold)) classes[a + i] = 0;
    }
  }
}

}  // namespace edgedl
