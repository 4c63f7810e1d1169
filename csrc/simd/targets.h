// Every kernel is compiled once per target, a kind of CPU; at run time the best one is taken.
#pragma once

#include <string>
#include <vector>

#include "simd/cpu_kernels.h"

namespace edgedl {

// Those this CPU can run, best first; the last one is always "scalar".
const std::vector<const CpuKernels*>& runnable_targets();

// The best one, or the one that the environment variable EDGEDL_FORCE_TARGET or
// set_active_target names. Throws Error if that one cannot run here.
const CpuKernels& active_target();

// For tests and benchmarks. Throws Error if no such target can run here.
void set_active_target(const std::string& name);

}  // namespace edgedl
