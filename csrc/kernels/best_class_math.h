// The formulas of best_class, for host and device.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/host_device.h"

namespace edgedl::math {

EDGEDL_HD float no_score() {
  return -INFINITY;
}

EDGEDL_HD float score_of(float objectness, float class_score, float threshold) {
  return objectness > threshold ? objectness * class_score : no_score();
}

}  // namespace edgedl::math
