#include "bindings/beam_step.h"

#include <cmath>
#include <cstdint>
#include <vector>

#include "bindings/define.h"
#include "bindings/device_arrays.h"
#include "bindings/host_arrays.h"
#include "core/error.h"
#include "kernels/beam_step.h"

namespace py = pybind11;

namespace edgedl {
namespace {

struct Views {
  ArrayView logits, history, row, log_prob, score;
  ArrayView parent, token, new_log_prob, new_score;
};

Views views_of(Arrays& arrays, const py::object& logits, const py::object& history,
               const py::object& row, const py::object& log_prob, const py::object& score,
               const py::object& parent, const py::object& token, const py::object& new_log_prob,
               const py::object& new_score) {
  const ArrayView in = arrays.packed("logits must be a contiguous (R, V) float32 array", logits,
                                     "float32", {kAny, kAny});
  require(in.shape[1] >= 1 && in.shape[1] <= kLongestAxis && in.shape[0] <= kLongestAxis,
          arrays.operation(), "logits must have 1 to 2^30 columns and at most 2^30 rows; got ", in);
  const ArrayView past =
      arrays.packed("history must be a contiguous (R, T) int64 array with a row for each of logits",
                    history, "int64", {in.shape[0], kAny});
  require(past.shape[1] <= kLongestAxis, arrays.operation(),
          "history must have at most 2^30 tokens; got ", past);
  const ArrayView rows =
      arrays.packed("row must be a contiguous (G, B) int64 array", row, "int64", {kAny, kAny});
  require(rows.shape[1] >= 1 && rows.shape[1] <= kMostBeams && rows.shape[0] <= kLongestAxis,
          arrays.operation(), "row must have 1 to ", kMostBeams, " beams; got ", rows);
  const auto shape = {rows.shape[0], rows.shape[1]};
  constexpr const char* kPlaces = "out must be contiguous, writable (G, B) int64 arrays";
  constexpr const char* kNumbers = "out must be contiguous, writable (G, B) float64 arrays";
  return {in,
          past,
          rows,
          arrays.packed("log_prob must be a contiguous (G, B) float64 array", log_prob, "float64",
                        shape),
          arrays.packed("score must be a contiguous (G, B) float64 array", score, "float64", shape),
          arrays.packed_out(kPlaces, parent, "int64", shape),
          arrays.packed_out(kPlaces, token, "int64", shape),
          arrays.packed_out(kNumbers, new_log_prob, "float64", shape),
          arrays.packed_out(kNumbers, new_score, "float64", shape)};
}

BeamStep job_of(const Arrays& arrays, const Views& views, int end, int no_repeat, bool may_end,
                double penalty) {
  const py::ssize_t width = views.logits.shape[1];
  require(end >= 0 && end < width, arrays.operation(), "end must be in 0..", width - 1, "; got ",
          end);
  require(no_repeat >= 0, arrays.operation(), "no_repeat must be >= 0; got ", no_repeat);
  require(std::isfinite(penalty) && penalty > 0, arrays.operation(), "penalty must be > 0; got ",
          penalty);
  return {static_cast<int>(views.row.shape[0]),
          static_cast<int>(views.row.shape[1]),
          static_cast<int>(views.logits.shape[0]),
          static_cast<int>(width),
          static_cast<int>(views.history.shape[1]),
          end,
          no_repeat,
          may_end,
          penalty};
}

BeamsBefore before_of(const Views& views) {
  return {pointer_to<const float>(views.logits), pointer_to<const std::int64_t>(views.history),
          pointer_to<const std::int64_t>(views.row), pointer_to<const double>(views.log_prob),
          pointer_to<const double>(views.score)};
}

BeamsAfter after_of(const Views& views) {
  return {pointer_to<std::int64_t>(views.parent), pointer_to<std::int64_t>(views.token),
          pointer_to<double>(views.new_log_prob), pointer_to<double>(views.new_score)};
}

// On a GPU nobody looks at them beforehand; the kernel does.
void check_rows(const BeamStep& job, const BeamsBefore& before) {
  const std::int64_t count = std::int64_t{job.searches} * job.beams;
  for (std::int64_t i = 0; i < count; ++i) {
    require(before.row[i] >= -1 && before.row[i] < job.rows, "beam_step", "row must be in -1..",
            job.rows - 1, "; got ", before.row[i]);
  }
}

// `emulated_order` < 0 means the CPU's own code.
void run(const py::object& logits, const py::object& history, const py::object& row,
         const py::object& log_prob, const py::object& score, const py::object& parent,
         const py::object& token, const py::object& new_log_prob, const py::object& new_score,
         int end, int no_repeat, bool may_end, double penalty, int emulated_order) {
  HostArrays arrays("beam_step", "edgedl.runtime.postprocess_cuda.CudaBeamStep");
  const Views views = views_of(arrays, logits, history, row, log_prob, score, parent, token,
                               new_log_prob, new_score);
  arrays.require_all_apart({views.logits, views.history, views.row, views.log_prob, views.score},
                           {views.parent, views.token, views.new_log_prob, views.new_score});
  const BeamStep job = job_of(arrays, views, end, no_repeat, may_end, penalty);
  BeamsBefore before = before_of(views);
  const std::vector<std::int64_t> places = copy_of<std::int64_t>(views.row);
  before.row = places.data();
  if (emulated_order < 0) check_rows(job, before);
  const py::gil_scoped_release unlocked;
  if (emulated_order < 0) {
    beam_step_cpu(job, before, after_of(views));
  } else {
    beam_step_emulated(job, before, after_of(views), emulated_order);
  }
}

void run_cuda(const py::object& logits, const py::object& history, const py::object& row,
              const py::object& log_prob, const py::object& score, const py::object& parent,
              const py::object& token, const py::object& new_log_prob, const py::object& new_score,
              const py::object& workspace, int end, int no_repeat, bool may_end, double penalty,
              std::uintptr_t stream) {
  DeviceArrays arrays("beam_step_cuda", stream);
  const Views views = views_of(arrays, logits, history, row, log_prob, score, parent, token,
                               new_log_prob, new_score);
  const BeamStep job = job_of(arrays, views, end, no_repeat, may_end, penalty);
  const ArrayView space = arrays.workspace(workspace, beam_step_scratch_bytes(job));
  arrays.require_all_apart({views.logits, views.history, views.row, views.log_prob, views.score},
                           {views.parent, views.token, views.new_log_prob, views.new_score, space});
  const py::gil_scoped_release unlocked;
  beam_step_cuda(job, before_of(views), after_of(views), space.data, arrays.stream());
}

std::size_t workspace_bytes(py::ssize_t rows, int beams) {
  require(rows >= 0 && rows <= kLongestAxis, "beam_step_cuda", "rows must be in 0..2^30; got ",
          rows);
  require(beams >= 1 && beams <= kMostBeams, "beam_step_cuda", "beams must be in 1..", kMostBeams,
          "; got ", beams);
  BeamStep job{};
  job.rows = static_cast<int>(rows);
  job.beams = beams;
  return beam_step_scratch_bytes(job);
}

}  // namespace

void bind_beam_step(py::module_& m) {
  define(m, "beam_step", &run, py::arg("logits"), py::arg("history"), py::arg("row"),
         py::arg("log_prob"), py::arg("score"), py::arg("parent"), py::arg("token"),
         py::arg("new_log_prob"), py::arg("new_score"), py::kw_only(), py::arg("end"),
         py::arg("no_repeat") = 0, py::arg("may_end") = true, py::arg("penalty") = 1.0,
         py::arg("emulated_order") = -1);
  define(m, "beam_step_cuda", &run_cuda, py::arg("logits"), py::arg("history"), py::arg("row"),
         py::arg("log_prob"), py::arg("score"), py::arg("parent"), py::arg("token"),
         py::arg("new_log_prob"), py::arg("new_score"), py::arg("workspace"), py::kw_only(),
         py::arg("end"), py::arg("no_repeat"), py::arg("may_end"), py::arg("penalty"),
         py::arg("stream"));
  define(m, "beam_step_workspace_bytes", &workspace_bytes, py::arg("rows"), py::arg("beams"));
}

}  // namespace edgedl
