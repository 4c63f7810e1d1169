#include "bindings/targets.h"

#include <pybind11/stl.h>

#include <string>
#include <vector>

#include "bindings/define.h"
#include "simd/targets.h"

namespace py = pybind11;

namespace edgedl {

void bind_targets(py::module_& m) {
  m.def("cpu_targets", [] {
    std::vector<std::string> names;
    for (const CpuKernels* target : runnable_targets()) names.emplace_back(target->name);
    return names;
  });
  m.def("cpu_target", [] { return std::string(active_target().name); });
  define(m, "set_cpu_target", &set_active_target, py::arg("name"));
}

}  // namespace edgedl
