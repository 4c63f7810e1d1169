#include "bindings/softmax_top_k.h"

#include <cstdint>
#include <limits>

#include "bindings/arrays.h"
#include "core/error.h"
#include "kernels/softmax_top_k.h"

namespace py = pybind11;

namespace edgedl {
namespace {

constexpr const char* kOperation = "softmax_top_k";

// `emulated_order` < 0 means the CPU's own code.
void run(const py::object& logits, const py::object& probabilities, const py::object& indices,
         int emulated_order) {
  const py::array in = checked_array(kOperation, "logits must be a contiguous (N, C) float32 array",
                                     logits, "float32", {kAny, kAny});
  constexpr py::ssize_t kMost = std::numeric_limits<int>::max() / 2;
  require(in.shape(1) >= 1 && in.shape(1) <= kMost && in.shape(0) <= kMost, kOperation,
          "logits must have 1 to 2^30 columns and at most 2^30 rows; got ", describe(in));
  auto* to = static_cast<float*>(
      checked_out(kOperation, "probabilities must be a contiguous, writable (N, K) float32 array",
                  probabilities, "float32", {in.shape(0), kAny}));
  const py::array out = py::reinterpret_borrow<py::array>(probabilities);
  const py::ssize_t count = out.shape(1);
  require(count >= 1 && count <= in.shape(1), kOperation, "K must be in 1..", in.shape(1), "; got ",
          count);
  auto* at = static_cast<std::int64_t*>(
      checked_out(kOperation, "indices must be a contiguous, writable (N, K) int64 array", indices,
                  "int64", {in.shape(0), count}));
  const py::array places = py::reinterpret_borrow<py::array>(indices);
  require_apart(kOperation, in, out);
  require_apart(kOperation, in, places);
  require_apart(kOperation, out, places);
  const SoftmaxTopK job{static_cast<int>(in.shape(0)), static_cast<int>(in.shape(1)),
                        static_cast<int>(count)};
  const auto* from = static_cast<const float*>(in.data());
  const py::gil_scoped_release unlocked;
  if (emulated_order < 0) {
    softmax_top_k_cpu(job, from, to, at);
  } else {
    softmax_top_k_emulated(job, from, to, at, emulated_order);
  }
}

}  // namespace

void bind_softmax_top_k(py::module_& m) {
  m.def("softmax_top_k", &run, py::arg("logits"), py::arg("probabilities"), py::arg("indices"),
        py::arg("emulated_order") = -1);
}

}  // namespace edgedl
