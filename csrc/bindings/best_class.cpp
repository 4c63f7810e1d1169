#include "bindings/best_class.h"

#include <pybind11/numpy.h>

#include <cmath>
#include <cstdint>

#include "bindings/define.h"
#include "bindings/device_arrays.h"
#include "bindings/host_arrays.h"
#include "core/error.h"
#include "kernels/best_class.h"

namespace py = pybind11;

namespace edgedl {
namespace {

struct Call {
  BestClass job;
  ArrayView predictions;
};

Call checked(Arrays& arrays, const py::object& predictions, bool anchors_are_rows, int first_class,
             int objectness, float threshold) {
  const ArrayView src = arrays.packed("predictions must be a contiguous float32 array of two axes",
                                      predictions, "float32", {kAny, kAny});
  const py::ssize_t anchors = src.shape[anchors_are_rows ? 0 : 1];
  const py::ssize_t values = src.shape[anchors_are_rows ? 1 : 0];
  require(anchors <= kLongestAxis && values <= kLongestAxis, arrays.operation(),
          "sizes must be at most 2^30; got ", src);
  require(first_class >= 0 && first_class < values && objectness >= -1 && objectness < values,
          arrays.operation(), "an anchor must have at least one class; got ", src, ", first class ",
          first_class, ", objectness ", objectness);
  require(!std::isnan(threshold), arrays.operation(), "threshold must be a number; got nan");
  const BestClass job{
      static_cast<int>(anchors), static_cast<int>(values), first_class, objectness, threshold,
      anchors_are_rows};
  return {job, src};
}

// `emulated_order` < 0 means the CPU's own code.
py::tuple run(const py::object& predictions, bool anchors_are_rows, int first_class, int objectness,
              float threshold, int emulated_order) {
  HostArrays arrays("best_class", "edgedl.runtime.postprocess_cuda.CudaBestClass");
  const Call call =
      checked(arrays, predictions, anchors_are_rows, first_class, objectness, threshold);
  py::array_t<float> scores(call.job.anchors);
  py::array_t<std::int32_t> classes(call.job.anchors);
  const auto* from = pointer_to<const float>(call.predictions);
  float* score = scores.mutable_data();
  std::int32_t* which = classes.mutable_data();
  {
    const py::gil_scoped_release unlocked;
    if (emulated_order < 0) {
      best_class_cpu(call.job, from, score, which);
    } else {
      best_class_emulated(call.job, from, score, which, emulated_order);
    }
  }
  return py::make_tuple(scores, classes);
}

void run_cuda(const py::object& predictions, const py::object& scores, const py::object& classes,
              bool anchors_are_rows, int first_class, int objectness, float threshold,
              std::uintptr_t stream) {
  DeviceArrays arrays("best_class_cuda", stream);
  const Call call =
      checked(arrays, predictions, anchors_are_rows, first_class, objectness, threshold);
  const ArrayView score =
      arrays.packed_out("scores must be a contiguous, writable (anchors,) float32 array", scores,
                        "float32", {call.job.anchors});
  const ArrayView which =
      arrays.packed_out("classes must be a contiguous, writable (anchors,) int32 array", classes,
                        "int32", {call.job.anchors});
  arrays.require_all_apart({call.predictions}, {score, which});
  const py::gil_scoped_release unlocked;
  best_class_cuda(call.job, pointer_to<const float>(call.predictions), pointer_to<float>(score),
                  pointer_to<std::int32_t>(which), arrays.stream());
}

}  // namespace

void bind_best_class(py::module_& m) {
  define(m, "best_class", &run, py::arg("predictions"), py::arg("anchors_are_rows"),
         py::arg("first_class"), py::arg("objectness"), py::arg("threshold"),
         py::arg("emulated_order") = -1);
  define(m, "best_class_cuda", &run_cuda, py::arg("predictions"), py::arg("scores"),
         py::arg("classes"), py::arg("anchors_are_rows"), py::arg("first_class"),
         py::arg("objectness"), py::arg("threshold"), py::arg("stream"));
}

}  // namespace edgedl
