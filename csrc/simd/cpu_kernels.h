// What one target has: see simd/targets.h.
#pragma once

#include "kernels/denormalize_cpu.h"

namespace edgedl {

// The kernels as compiled for one target: all targets give the same bits.
struct CpuKernels {
  const char* name;
  bool (*supported)();
  DenormalizeRow denormalize_row;
};

}  // namespace edgedl
