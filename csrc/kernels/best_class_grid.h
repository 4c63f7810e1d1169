// What a CUDA thread of best_class does: one anchor.
#pragma once

#include "core/grid.h"
#include "kernels/best_class.h"
#include "kernels/best_class_math.h"

namespace edgedl {

struct BestClassGrid {
  BestClass job;
  const float* src;
  float* scores;
  std::int32_t* classes;

  static constexpr int kThreads = 128;

  Dim blocks() const { return {blocks_for(job.anchors, kThreads), 1, 1}; }
  Dim threads() const { return {kThreads, 1, 1}; }

  EDGEDL_HD float value(int anchor, int index) const {
    return job.anchors_are_rows ? src[std::int64_t{anchor} * job.values + index]
                                : src[std::int64_t{index} * job.anchors + anchor];
  }

  EDGEDL_HD void operator()(const Thread& thread) const {
    const int anchor = thread.block.x * kThreads + thread.at.x;
    if (anchor >= job.anchors) return;
    scores[anchor] = math::no_score();
    classes[anchor] = 0;
    const float objectness = job.objectness < 0 ? 1.0f : value(anchor, job.objectness);
    if (job.objectness >= 0 && !(objectness > job.threshold)) return;
    float best = math::no_score();
    int which = 0;
    for (int i = job.first_class; i < job.values; ++i) {
      const float score = value(anchor, i);
      if (score > best) {
        best = score;
        which = i - job.first_class;
      }
    }
    scores[anchor] = job.objectness < 0 ? best : math::score_of(objectness, best, job.threshold);
    classes[anchor] = which;
  }
};

}  // namespace edgedl
