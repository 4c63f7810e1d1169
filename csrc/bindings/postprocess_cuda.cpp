// What follows a network, for arrays on a GPU: results and workspaces are the caller's.
#include "bindings/postprocess_cuda.h"

#include <cmath>
#include <cstdint>

#include "bindings/arrays.h"
#include "bindings/device_arrays.h"
#include "core/error.h"
#include "kernels/best_class.h"
#include "kernels/nms.h"
#include "kernels/softmax_top_k.h"

namespace py = pybind11;

namespace edgedl {
namespace {

constexpr py::ssize_t kMost = 1 << 30;

Nms nms_job(const char* operation, py::ssize_t boxes, float iou_threshold, float score_threshold,
            int max_candidates) {
  require(boxes <= kMost, operation, "boxes must be at most 2^30; got ", boxes);
  require(iou_threshold >= 0.0f && iou_threshold <= 1.0f, operation,
          "iou_threshold must be in [0, 1]; got ", iou_threshold);
  require(!std::isnan(score_threshold), operation, "score_threshold must be a number; got nan");
  require(max_candidates >= 1 && max_candidates <= kNmsMostCandidates, operation,
          "max_candidates must be in 1..", kNmsMostCandidates, "; got ", max_candidates);
  return {static_cast<int>(boxes), iou_threshold, score_threshold, max_candidates};
}

void run_nms(const py::object& boxes, const py::object& scores, const py::object& groups,
             const py::object& kept, const py::object& count, const py::object& workspace,
             float iou_threshold, float score_threshold, std::uintptr_t stream) {
  DeviceArrays arrays("nms_cuda", stream);
  const ArrayView corners =
      arrays.packed("boxes must be a contiguous (K, 4) float32 array", boxes, "float32", {kAny, 4});
  const py::ssize_t size = corners.shape[0];
  const ArrayView values = arrays.packed(
      "scores must be a contiguous (K,) float32 array, one per box", scores, "float32", {size});
  ArrayView group{};  // none: at address 0
  if (!groups.is_none()) {
    group = arrays.packed("groups must be a contiguous (K,) int32 array, one per box", groups,
                          "int32", {size});
  }
  const ArrayView chosen = arrays.packed_out(
      "kept must be a contiguous, writable (max_candidates,) int32 array", kept, "int32", {kAny});
  const ArrayView number =
      arrays.packed_out("count must be a writable (1,) int32 array", count, "int32", {1});
  require(chosen.shape[0] <= kMost, arrays.operation(), "kept must be shorter; got ", chosen);
  const Nms job = nms_job(arrays.operation(), size, iou_threshold, score_threshold,
                          static_cast<int>(chosen.shape[0]));
  const ArrayView space = arrays.workspace(workspace, nms_workspace_bytes(job));
  arrays.require_all_apart({corners, values, group}, {chosen, number, space});
  const py::gil_scoped_release unlocked;
  nms_cuda(job, pointer_to<const float>(corners), pointer_to<const float>(values),
           pointer_to<const std::int32_t>(group), space.data, pointer_to<std::int32_t>(chosen),
           pointer_to<std::int32_t>(number), arrays.stream());
}

std::size_t nms_bytes(py::ssize_t boxes, int max_candidates) {
  require(boxes >= 0, "nms_cuda", "boxes must be >= 0; got ", boxes);
  return nms_workspace_bytes(nms_job("nms_cuda", boxes, 0.0f, 0.0f, max_candidates));
}

void run_best_class(const py::object& predictions, const py::object& scores,
                    const py::object& classes, bool anchors_are_rows, int first_class,
                    int objectness, float threshold, std::uintptr_t stream) {
  DeviceArrays arrays("best_class_cuda", stream);
  const ArrayView src = arrays.packed("predictions must be a contiguous float32 array of two axes",
                                      predictions, "float32", {kAny, kAny});
  const py::ssize_t anchors = src.shape[anchors_are_rows ? 0 : 1];
  const py::ssize_t values = src.shape[anchors_are_rows ? 1 : 0];
  require(anchors <= kMost && values <= kMost, arrays.operation(),
          "sizes must be at most 2^30; got ", src);
  require(first_class >= 0 && first_class < values && objectness >= -1 && objectness < values,
          arrays.operation(), "an anchor must have at least one class; got ", src, ", first class ",
          first_class, ", objectness ", objectness);
  const ArrayView score =
      arrays.packed_out("scores must be a contiguous, writable (anchors,) float32 array", scores,
                        "float32", {anchors});
  const ArrayView which = arrays.packed_out(
      "classes must be a contiguous, writable (anchors,) int32 array", classes, "int32", {anchors});
  arrays.require_all_apart({src}, {score, which});
  const BestClass job{
      static_cast<int>(anchors), static_cast<int>(values), first_class, objectness, threshold,
      anchors_are_rows};
  const py::gil_scoped_release unlocked;
  best_class_cuda(job, pointer_to<const float>(src), pointer_to<float>(score),
                  pointer_to<std::int32_t>(which), arrays.stream());
}

SoftmaxTopK softmax_job(const char* operation, py::ssize_t rows, py::ssize_t width,
                        py::ssize_t count) {
  require(rows >= 0 && rows <= kMost && width >= 1 && width <= kMost, operation,
          "logits must have 1 to 2^30 columns and at most 2^30 rows; got (", rows, ", ", width,
          ")");
  require(count >= 1 && count <= width, operation, "K must be in 1..", width, "; got ", count);
  return {static_cast<int>(rows), static_cast<int>(width), static_cast<int>(count)};
}

void run_softmax_top_k(const py::object& logits, const py::object& probabilities,
                       const py::object& indices, const py::object& workspace,
                       std::uintptr_t stream) {
  DeviceArrays arrays("softmax_top_k_cuda", stream);
  const ArrayView in = arrays.packed("logits must be a contiguous (N, C) float32 array", logits,
                                     "float32", {kAny, kAny});
  const ArrayView out =
      arrays.packed_out("probabilities must be a contiguous, writable (N, K) float32 array",
                        probabilities, "float32", {in.shape[0], kAny});
  const SoftmaxTopK job = softmax_job(arrays.operation(), in.shape[0], in.shape[1], out.shape[1]);
  const ArrayView places =
      arrays.packed_out("indices must be a contiguous, writable (N, K) int64 array", indices,
                        "int64", {in.shape[0], out.shape[1]});
  const ArrayView space = arrays.workspace(workspace, softmax_top_k_scratch_bytes(job));
  arrays.require_all_apart({in}, {out, places, space});
  const py::gil_scoped_release unlocked;
  softmax_top_k_cuda(job, pointer_to<const float>(in), pointer_to<float>(out),
                     pointer_to<std::int64_t>(places), space.data, arrays.stream());
}

std::size_t softmax_bytes(py::ssize_t rows, py::ssize_t width, py::ssize_t count) {
  return softmax_top_k_scratch_bytes(softmax_job("softmax_top_k_cuda", rows, width, count));
}

}  // namespace

void bind_postprocess_cuda(py::module_& m) {
  m.def("nms_cuda", &run_nms, py::arg("boxes"), py::arg("scores"), py::arg("groups"),
        py::arg("kept"), py::arg("count"), py::arg("workspace"), py::arg("iou_threshold"),
        py::arg("score_threshold"), py::arg("stream"));
  m.def("nms_workspace_bytes", &nms_bytes, py::arg("boxes"), py::arg("max_candidates"));
  m.def("best_class_cuda", &run_best_class, py::arg("predictions"), py::arg("scores"),
        py::arg("classes"), py::arg("anchors_are_rows"), py::arg("first_class"),
        py::arg("objectness"), py::arg("threshold"), py::arg("stream"));
  m.def("softmax_top_k_cuda", &run_softmax_top_k, py::arg("logits"), py::arg("probabilities"),
        py::arg("indices"), py::arg("workspace"), py::arg("stream"));
  m.def("softmax_top_k_workspace_bytes", &softmax_bytes, py::arg("rows"), py::arg("width"),
        py::arg("count"));
}

}  // namespace edgedl
