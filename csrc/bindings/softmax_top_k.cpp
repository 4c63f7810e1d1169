#include "bindings/softmax_top_k.h"

#include <cstdint>

#include "bindings/define.h"
#include "bindings/device_arrays.h"
#include "bindings/host_arrays.h"
#include "core/error.h"
#include "kernels/softmax_top_k.h"

namespace py = pybind11;

namespace edgedl {
namespace {

SoftmaxTopK job_of(const char* operation, py::ssize_t rows, py::ssize_t width, py::ssize_t count) {
  require(rows >= 0 && rows <= kLongestAxis && width >= 1 && width <= kLongestAxis, operation,
          "logits must have 1 to 2^30 columns and at most 2^30 rows; got (", rows, ", ", width,
          ")");
  require(count >= 1 && count <= width, operation, "K must be in 1..", width, "; got ", count);
  return {static_cast<int>(rows), static_cast<int>(width), static_cast<int>(count)};
}

struct Call {
  SoftmaxTopK job;
  ArrayView logits, probabilities, indices;
};

Call checked(Arrays& arrays, const py::object& logits, const py::object& probabilities,
             const py::object& indices) {
  const ArrayView in = arrays.packed("logits must be a contiguous (N, C) float32 array", logits,
                                     "float32", {kAny, kAny});
  const ArrayView out =
      arrays.packed_out("probabilities must be a contiguous, writable (N, K) float32 array",
                        probabilities, "float32", {in.shape[0], kAny});
  const SoftmaxTopK job = job_of(arrays.operation(), in.shape[0], in.shape[1], out.shape[1]);
  const ArrayView places =
      arrays.packed_out("indices must be a contiguous, writable (N, K) int64 array", indices,
                        "int64", {in.shape[0], out.shape[1]});
  return {job, in, out, places};
}

// `emulated_order` < 0 means the CPU's own code.
void run(const py::object& logits, const py::object& probabilities, const py::object& indices,
         int emulated_order) {
  HostArrays arrays("softmax_top_k", "edgedl.runtime.postprocess_cuda.softmax_top_k_cuda");
  const Call call = checked(arrays, logits, probabilities, indices);
  arrays.require_all_apart({call.logits}, {call.probabilities, call.indices});
  const auto* from = pointer_to<const float>(call.logits);
  auto* to = pointer_to<float>(call.probabilities);
  auto* at = pointer_to<std::int64_t>(call.indices);
  const py::gil_scoped_release unlocked;
  if (emulated_order < 0) {
    softmax_top_k_cpu(call.job, from, to, at);
  } else {
    softmax_top_k_emulated(call.job, from, to, at, emulated_order);
  }
}

void run_cuda(const py::object& logits, const py::object& probabilities, const py::object& indices,
              const py::object& workspace, std::uintptr_t stream) {
  DeviceArrays arrays("softmax_top_k_cuda", stream);
  const Call call = checked(arrays, logits, probabilities, indices);
  const ArrayView space = arrays.workspace(workspace, softmax_top_k_scratch_bytes(call.job));
  arrays.require_all_apart({call.logits}, {call.probabilities, call.indices, space});
  const py::gil_scoped_release unlocked;
  softmax_top_k_cuda(call.job, pointer_to<const float>(call.logits),
                     pointer_to<float>(call.probabilities), pointer_to<std::int64_t>(call.indices),
                     space.data, arrays.stream());
}

std::size_t workspace_bytes(py::ssize_t rows, py::ssize_t width, py::ssize_t count) {
  return softmax_top_k_scratch_bytes(job_of("softmax_top_k_cuda", rows, width, count));
}

}  // namespace

void bind_softmax_top_k(py::module_& m) {
  define(m, "softmax_top_k", &run, py::arg("logits"), py::arg("probabilities"), py::arg("indices"),
         py::arg("emulated_order") = -1);
  define(m, "softmax_top_k_cuda", &run_cuda, py::arg("logits"), py::arg("probabilities"),
         py::arg("indices"), py::arg("workspace"), py::arg("stream"));
  define(m, "softmax_top_k_workspace_bytes", &workspace_bytes, py::arg("rows"), py::arg("width"),
         py::arg("count"));
}

}  // namespace edgedl
