// What a detector's output goes through: best_class and nms.
#include "bindings/detection.h"

#include <cmath>
#include <cstdint>
#include <vector>

#include "bindings/arrays.h"
#include "core/error.h"
#include "kernels/best_class.h"
#include "kernels/nms.h"

namespace py = pybind11;

namespace edgedl {
namespace {

constexpr int kMost = 1 << 30;

py::array_t<std::int32_t> run_nms(const py::object& boxes, const py::object& scores,
                                  const py::object& groups, float iou_threshold,
                                  float score_threshold, int max_candidates, int emulated_order) {
  constexpr const char* kOperation = "nms";
  const py::array corners = checked_array(
      kOperation, "boxes must be a contiguous (K, 4) float32 array", boxes, "float32", {kAny, 4});
  const py::ssize_t count = corners.shape(0);
  require(count <= kMost, kOperation, "boxes must be at most 2^30; got ", count);
  const py::array values =
      checked_array(kOperation, "scores must be a contiguous (K,) float32 array, one per box",
                    scores, "float32", {count});
  const std::int32_t* group = nullptr;
  if (!groups.is_none()) {
    group = static_cast<const std::int32_t*>(
        checked_array(kOperation, "groups must be a contiguous (K,) int32 array, one per box",
                      groups, "int32", {count})
            .data());
  }
  require(iou_threshold >= 0.0f && iou_threshold <= 1.0f, kOperation,
          "iou_threshold must be in [0, 1]; got ", iou_threshold);
  require(!std::isnan(score_threshold), kOperation, "score_threshold must be a number; got nan");
  require(max_candidates >= 0, kOperation, "max_candidates must be >= 0; got ", max_candidates);
  Nms job{static_cast<int>(count), iou_threshold, score_threshold, max_candidates};
  const auto* box = static_cast<const float*>(corners.data());
  const auto* score = static_cast<const float*>(values.data());
  std::vector<std::int32_t> kept(static_cast<std::size_t>(count));
  {
    const py::gil_scoped_release unlocked;
    int num_kept = 0;
    if (emulated_order < 0) {
      num_kept = nms_cpu(job, box, score, group, kept.data());
    } else {
      if (max_candidates == 0) job.max_candidates = static_cast<int>(count);
      num_kept = nms_emulated(job, box, score, group, kept.data(), emulated_order);
    }
    kept.resize(static_cast<std::size_t>(num_kept));
  }
  return py::array_t<std::int32_t>(static_cast<py::ssize_t>(kept.size()), kept.data());
}

py::tuple run_best_class(const py::object& predictions, bool anchors_are_rows, int first_class,
                         int objectness, float threshold, int emulated_order) {
  constexpr const char* kOperation = "best_class";
  const py::array src =
      checked_array(kOperation, "predictions must be a contiguous float32 array of two axes",
                    predictions, "float32", {kAny, kAny});
  const py::ssize_t anchors = src.shape(anchors_are_rows ? 0 : 1);
  const py::ssize_t values = src.shape(anchors_are_rows ? 1 : 0);
  require(anchors <= kMost && values <= kMost, kOperation, "sizes must be at most 2^30; got ",
          describe(predictions));
  require(first_class >= 0 && first_class < values && objectness >= -1 && objectness < values,
          kOperation, "an anchor must have at least one class; got ", describe(predictions),
          ", first class ", first_class, ", objectness ", objectness);
  const BestClass job{
      static_cast<int>(anchors), static_cast<int>(values), first_class, objectness, threshold,
      anchors_are_rows};
  py::array_t<float> scores(anchors);
  py::array_t<std::int32_t> classes(anchors);
  const auto* in = static_cast<const float*>(src.data());
  float* score = scores.mutable_data();
  std::int32_t* which = classes.mutable_data();
  {
    const py::gil_scoped_release unlocked;
    if (emulated_order < 0) {
      best_class_cpu(job, in, score, which);
    } else {
      best_class_emulated(job, in, score, which, emulated_order);
    }
  }
  return py::make_tuple(scores, classes);
}

}  // namespace

void bind_detection(py::module_& m) {
  m.def("nms", &run_nms, py::arg("boxes"), py::arg("scores"), py::arg("groups"),
        py::arg("iou_threshold"), py::arg("score_threshold"), py::arg("max_candidates"),
        py::arg("emulated_order") = -1);
  m.def("best_class", &run_best_class, py::arg("predictions"), py::arg("anchors_are_rows"),
        py::arg("first_class"), py::arg("objectness"), py::arg("threshold"),
        py::arg("emulated_order") = -1);
}

}  // namespace edgedl
