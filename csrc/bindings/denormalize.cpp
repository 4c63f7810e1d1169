#include "bindings/denormalize.h"

#include <pybind11/stl.h>

#include <cstdint>
#include <vector>

#include "bindings/arrays.h"
#include "core/error.h"
#include "kernels/denormalize.h"

namespace py = pybind11;

namespace edgedl {
namespace {

constexpr const char* kOperation = "denormalize";

// src and dst are checked; `emulated_order` < 0 means the CPU's own code.
void run(const py::object& src, const py::object& dst, const std::vector<float>& scale,
         const std::vector<float>& bias, bool reversed, int emulated_order) {
  const py::array in =
      checked_array(kOperation, "images must be a contiguous (N, C, H, W) float32 array", src,
                    "float32", {kAny, kAny, kAny, kAny});
  const py::ssize_t channels = in.shape(1);
  require(channels == 1 || channels == 3, kOperation, "images must have 1 or 3 channels; got ",
          channels);
  const auto count = static_cast<std::size_t>(channels);
  require(scale.size() == count && bias.size() == count, kOperation, "scale and bias must have ",
          channels, " values; got ", scale.size(), " and ", bias.size());
  void* out = checked_out(kOperation, "out must be a contiguous, writable (N, H, W, C) uint8 array",
                          dst, "uint8", {in.shape(0), in.shape(2), in.shape(3), channels});
  require_apart(kOperation, in, py::reinterpret_borrow<py::array>(dst));
  Denormalize job{static_cast<int>(in.shape(0)),
                  static_cast<int>(channels),
                  static_cast<int>(in.shape(2)),
                  static_cast<int>(in.shape(3)),
                  {},
                  {},
                  reversed};
  for (std::size_t c = 0; c < count; ++c) {
    job.scale[c] = scale[c];
    job.bias[c] = bias[c];
  }
  const auto* from = static_cast<const float*>(in.data());
  const py::gil_scoped_release unlocked;
  if (emulated_order < 0) {
    denormalize_cpu(job, from, static_cast<std::uint8_t*>(out));
  } else {
    denormalize_emulated(job, from, static_cast<std::uint8_t*>(out), emulated_order);
  }
}

}  // namespace

void bind_denormalize(py::module_& m) {
  m.def("denormalize", &run, py::arg("images"), py::arg("out"), py::arg("scale"), py::arg("bias"),
        py::arg("reversed"), py::arg("emulated_order") = -1);
}

}  // namespace edgedl
