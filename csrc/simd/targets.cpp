#include "simd/targets.h"

#include <atomic>
#include <cstdlib>
#include <string>
#include <vector>

#include "core/error.h"

namespace edgedl {

#if defined(EDGEDL_X86)
namespace avx512 {
extern const CpuKernels kernels;
}
namespace avx2 {
extern const CpuKernels kernels;
}
#elif defined(EDGEDL_ARM64)
namespace neon_dot {
extern const CpuKernels kernels;
}
namespace neon {
extern const CpuKernels kernels;
}
#endif
namespace scalar {
extern const CpuKernels kernels;
}

namespace {

std::atomic<const CpuKernels*> chosen{nullptr};

const CpuKernels& named(const char* who, const std::string& name) {
  std::string known;
  for (const CpuKernels* target : runnable_targets()) {
    if (name == target->name) return *target;
    known += (known.empty() ? "" : ", ") + std::string(target->name);
  }
  require(false, who, "must name a target that this CPU can run: ", known, "; got '", name, "'");
  return *runnable_targets().back();
}

}  // namespace

const std::vector<const CpuKernels*>& runnable_targets() {
  static const std::vector<const CpuKernels*> runnable = [] {
    std::vector<const CpuKernels*> found;
    for (const CpuKernels* target : {
#if defined(EDGEDL_X86)
             &avx512::kernels, &avx2::kernels,
#elif defined(EDGEDL_ARM64)
             &neon_dot::kernels, &neon::kernels,
#endif
             &scalar::kernels}) {
      if (target->supported()) found.push_back(target);
    }
    return found;
  }();
  return runnable;
}

const CpuKernels& active_target() {
  if (const CpuKernels* target = chosen.load(std::memory_order_relaxed)) return *target;
  const char* forced = std::getenv("EDGEDL_FORCE_TARGET");
  const CpuKernels& target =
      forced == nullptr ? *runnable_targets().front() : named("EDGEDL_FORCE_TARGET", forced);
  chosen = &target;
  return target;
}

void set_active_target(const std::string& name) {
  chosen = &named("set_cpu_target", name);
}

}  // namespace edgedl
