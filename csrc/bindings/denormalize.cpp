#include "bindings/denormalize.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "bindings/define.h"
#include "bindings/device_arrays.h"
#include "bindings/host_arrays.h"
#include "core/error.h"
#include "kernels/denormalize.h"

namespace py = pybind11;

namespace edgedl {
namespace {

struct Call {
  Denormalize job;
  const float* from;
  std::uint8_t* to;
};

Call checked(Arrays& arrays, const py::object& src, const py::object& dst,
             const std::vector<float>& scale, const std::vector<float>& bias, bool reversed) {
  const ArrayView in = arrays.packed("images must be a contiguous (N, C, H, W) float32 array", src,
                                     "float32", {kAny, kAny, kAny, kAny});
  const py::ssize_t channels = in.shape[1];
  require(channels == 1 || channels == 3, arrays.operation(),
          "images must have 1 or 3 channels; got ", channels);
  const auto count = static_cast<std::size_t>(channels);
  require(scale.size() == count && bias.size() == count, arrays.operation(),
          "scale and bias must have ", channels, " values; got ", scale.size(), " and ",
          bias.size());
  for (std::size_t c = 0; c < count; ++c) {
    require(std::isfinite(scale[c]) && std::isfinite(bias[c]), arrays.operation(),
            "scale and bias must be finite; got ", scale[c], " and ", bias[c]);
  }
  require(*std::max_element(in.shape, in.shape + 4) <= kLongestAxis, arrays.operation(),
          "sizes must be at most 2^30; got ", in);
  const ArrayView out =
      arrays.packed_out("out must be a contiguous, writable (N, H, W, C) uint8 array", dst, "uint8",
                        {in.shape[0], in.shape[2], in.shape[3], channels});
  arrays.require_apart(in, out);
  Denormalize job{static_cast<int>(in.shape[0]),
                  static_cast<int>(channels),
                  static_cast<int>(in.shape[2]),
                  static_cast<int>(in.shape[3]),
                  {},
                  {},
                  reversed};
  for (std::size_t c = 0; c < count; ++c) {
    job.scale[c] = scale[c];
    job.bias[c] = bias[c];
  }
  return {job, reinterpret_cast<const float*>(in.data), out.data};
}

// `emulated_order` < 0 means the CPU's own code.
void run(const py::object& src, const py::object& dst, const std::vector<float>& scale,
         const std::vector<float>& bias, bool reversed, int emulated_order) {
  HostArrays arrays("denormalize", "edgedl.runtime.postprocess_cuda.denormalize_cuda");
  const Call call = checked(arrays, src, dst, scale, bias, reversed);
  const py::gil_scoped_release unlocked;
  if (emulated_order < 0) {
    denormalize_cpu(call.job, call.from, call.to);
  } else {
    denormalize_emulated(call.job, call.from, call.to, emulated_order);
  }
}

void run_cuda(const py::object& src, const py::object& dst, const std::vector<float>& scale,
              const std::vector<float>& bias, bool reversed, std::uintptr_t stream) {
  DeviceArrays arrays("denormalize_cuda", stream);
  const Call call = checked(arrays, src, dst, scale, bias, reversed);
  const py::gil_scoped_release unlocked;
  denormalize_cuda(call.job, call.from, call.to, arrays.stream());
}

}  // namespace

void bind_denormalize(py::module_& m) {
  define(m, "denormalize", &run, py::arg("images"), py::arg("out"), py::arg("scale"),
         py::arg("bias"), py::arg("reversed"), py::arg("emulated_order") = -1);
  define(m, "denormalize_cuda", &run_cuda, py::arg("images"), py::arg("out"), py::arg("scale"),
         py::arg("bias"), py::arg("reversed"), py::arg("stream"));
}

}  // namespace edgedl
