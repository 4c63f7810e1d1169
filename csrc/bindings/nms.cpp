#include "bindings/nms.h"

#include <pybind11/numpy.h>

#include <cmath>
#include <cstdint>
#include <vector>

#include "bindings/define.h"
#include "bindings/device_arrays.h"
#include "bindings/host_arrays.h"
#include "core/error.h"
#include "kernels/nms.h"

namespace py = pybind11;

namespace edgedl {
namespace {

struct Views {
  ArrayView boxes, scores, groups;
};

Views views_of(Arrays& arrays, const py::object& boxes, const py::object& scores,
               const py::object& groups) {
  const ArrayView corners =
      arrays.packed("boxes must be a contiguous (K, 4) float32 array", boxes, "float32", {kAny, 4});
  const ArrayView values =
      arrays.packed("scores must be a contiguous (K,) float32 array, one per box", scores,
                    "float32", {corners.shape[0]});
  if (groups.is_none()) return {corners, values, {}};  // none: at address 0
  return {corners, values,
          arrays.packed("groups must be a contiguous (K,) int32 array, one per box", groups,
                        "int32", {corners.shape[0]})};
}

Nms job_of(const char* operation, py::ssize_t boxes, float iou_threshold, float score_threshold,
           int max_candidates) {
  require(boxes >= 0 && boxes <= kLongestAxis, operation, "boxes must be 0 to 2^30; got ", boxes);
  require(iou_threshold >= 0.0f && iou_threshold <= 1.0f, operation,
          "iou_threshold must be in [0, 1]; got ", iou_threshold);
  require(!std::isnan(score_threshold), operation, "score_threshold must be a number; got nan");
  return {static_cast<int>(boxes), iou_threshold, score_threshold, max_candidates};
}

// `emulated_order` < 0 means the CPU's own code.
py::array_t<std::int32_t> run(const py::object& boxes, const py::object& scores,
                              const py::object& groups, float iou_threshold, float score_threshold,
                              int max_candidates, int emulated_order) {
  HostArrays arrays("nms", "edgedl.runtime.postprocess_cuda.CudaNms");
  const Views in = views_of(arrays, boxes, scores, groups);
  require(max_candidates >= 0, arrays.operation(), "max_candidates must be >= 0; got ",
          max_candidates);
  Nms job =
      job_of(arrays.operation(), in.boxes.shape[0], iou_threshold, score_threshold, max_candidates);
  const auto* corners = pointer_to<const float>(in.boxes);
  const auto* values = pointer_to<const float>(in.scores);
  const auto* group = pointer_to<const std::int32_t>(in.groups);
  std::vector<std::int32_t> kept(static_cast<std::size_t>(job.boxes));
  {
    const py::gil_scoped_release unlocked;
    int num_kept = 0;
    if (emulated_order < 0) {
      num_kept = nms_cpu(job, corners, values, group, kept.data());
    } else {
      if (max_candidates == 0) job.max_candidates = job.boxes;
      num_kept = nms_emulated(job, corners, values, group, kept.data(), emulated_order);
    }
    kept.resize(static_cast<std::size_t>(num_kept));
  }
  return py::array_t<std::int32_t>(static_cast<py::ssize_t>(kept.size()), kept.data());
}

Nms cuda_job_of(py::ssize_t boxes, float iou_threshold, float score_threshold,
                py::ssize_t max_candidates) {
  constexpr const char* kOperation = "nms_cuda";
  require(max_candidates >= 1 && max_candidates <= kNmsMostCandidates, kOperation,
          "max_candidates must be in 1..", kNmsMostCandidates, "; got ", max_candidates);
  return job_of(kOperation, boxes, iou_threshold, score_threshold,
                static_cast<int>(max_candidates));
}

void run_cuda(const py::object& boxes, const py::object& scores, const py::object& groups,
              const py::object& kept, const py::object& count, const py::object& workspace,
              float iou_threshold, float score_threshold, std::uintptr_t stream) {
  DeviceArrays arrays("nms_cuda", stream);
  const Views in = views_of(arrays, boxes, scores, groups);
  const ArrayView chosen = arrays.packed_out(
      "kept must be a contiguous, writable (max_candidates,) int32 array", kept, "int32", {kAny});
  const ArrayView number =
      arrays.packed_out("count must be a writable (1,) int32 array", count, "int32", {1});
  const Nms job = cuda_job_of(in.boxes.shape[0], iou_threshold, score_threshold, chosen.shape[0]);
  const ArrayView space = arrays.workspace(workspace, nms_workspace_bytes(job));
  arrays.require_all_apart({in.boxes, in.scores, in.groups}, {chosen, number, space});
  const py::gil_scoped_release unlocked;
  nms_cuda(job, pointer_to<const float>(in.boxes), pointer_to<const float>(in.scores),
           pointer_to<const std::int32_t>(in.groups), space.data, pointer_to<std::int32_t>(chosen),
           pointer_to<std::int32_t>(number), arrays.stream());
}

std::size_t workspace_bytes(py::ssize_t boxes, py::ssize_t max_candidates) {
  return nms_workspace_bytes(cuda_job_of(boxes, 0.0f, 0.0f, max_candidates));
}

}  // namespace

void bind_nms(py::module_& m) {
  define(m, "nms", &run, py::arg("boxes"), py::arg("scores"), py::arg("groups"),
         py::arg("iou_threshold"), py::arg("score_threshold"), py::arg("max_candidates"),
         py::arg("emulated_order") = -1);
  define(m, "nms_cuda", &run_cuda, py::arg("boxes"), py::arg("scores"), py::arg("groups"),
         py::arg("kept"), py::arg("count"), py::arg("workspace"), py::arg("iou_threshold"),
         py::arg("score_threshold"), py::arg("stream"));
  define(m, "nms_workspace_bytes", &workspace_bytes, py::arg("boxes"), py::arg("max_candidates"));
}

}  // namespace edgedl
