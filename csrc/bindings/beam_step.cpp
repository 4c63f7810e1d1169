#include "bindings/beam_step.h"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "bindings/arrays.h"
#include "core/error.h"
#include "kernels/beam_step.h"

namespace py = pybind11;

namespace edgedl {
namespace {

constexpr const char* kOperation = "beam_step";

template <class T>
const T* data_of(const py::array& array) {
  return static_cast<const T*>(array.data());
}

void check_sizes(const py::array& logits, const py::array& history, const py::array& row) {
  constexpr py::ssize_t kMost = std::numeric_limits<int>::max() / 2;
  require(logits.shape(1) >= 1 && logits.shape(1) <= kMost && logits.shape(0) <= kMost, kOperation,
          "logits must have 1 to 2^30 columns and at most 2^30 rows; got ", describe(logits));
  require(history.shape(1) <= kMost, kOperation, "history must have at most 2^30 tokens; got ",
          describe(history));
  require(row.shape(1) >= 1 && row.shape(1) <= kMostBeams && row.shape(0) <= kMost, kOperation,
          "row must have 1 to ", kMostBeams, " beams; got ", describe(row));
  const auto* rows = data_of<std::int64_t>(row);
  for (py::ssize_t i = 0; i < row.size(); ++i) {
    require(rows[i] >= -1 && rows[i] < logits.shape(0), kOperation, "row must be in -1..",
            logits.shape(0) - 1, "; got ", rows[i]);
  }
}

// `emulated_order` < 0 means the CPU's own code.
void run(const py::object& logits, const py::object& history, const py::object& row,
         const py::object& log_prob, const py::object& score, const py::object& parent,
         const py::object& token, const py::object& new_log_prob, const py::object& new_score,
         int end, int no_repeat, bool may_end, double penalty, int emulated_order) {
  const py::array in = checked_array(kOperation, "logits must be a contiguous (R, V) float32 array",
                                     logits, "float32", {kAny, kAny});
  const py::array past = checked_array(
      kOperation, "history must be a contiguous (R, T) int64 array with a row for each of logits",
      history, "int64", {in.shape(0), kAny});
  const py::array rows = checked_array(kOperation, "row must be a contiguous (G, B) int64 array",
                                       row, "int64", {kAny, kAny});
  check_sizes(in, past, rows);
  const auto shape = {rows.shape(0), rows.shape(1)};
  const py::array log_probs = checked_array(
      kOperation, "log_prob must be a contiguous (G, B) float64 array", log_prob, "float64", shape);
  const py::array scores = checked_array(
      kOperation, "score must be a contiguous (G, B) float64 array", score, "float64", shape);
  constexpr const char* kPlaces = "out must be contiguous, writable (G, B) int64 arrays";
  constexpr const char* kNumbers = "out must be contiguous, writable (G, B) float64 arrays";
  const BeamsAfter after{
      static_cast<std::int64_t*>(checked_out(kOperation, kPlaces, parent, "int64", shape)),
      static_cast<std::int64_t*>(checked_out(kOperation, kPlaces, token, "int64", shape)),
      static_cast<double*>(checked_out(kOperation, kNumbers, new_log_prob, "float64", shape)),
      static_cast<double*>(checked_out(kOperation, kNumbers, new_score, "float64", shape))};
  const py::object outs[] = {parent, token, new_log_prob, new_score};
  for (int i = 0; i < 4; ++i) {
    const py::array out = py::reinterpret_borrow<py::array>(outs[i]);
    for (const py::array& one : {in, past, rows, log_probs, scores}) {
      require_apart(kOperation, one, out);
    }
    for (int j = 0; j < i; ++j) {
      require_apart(kOperation, py::reinterpret_borrow<py::array>(outs[j]), out);
    }
  }
  require(end >= 0 && end < in.shape(1), kOperation, "end must be in 0..", in.shape(1) - 1,
          "; got ", end);
  require(no_repeat >= 0, kOperation, "no_repeat must be >= 0; got ", no_repeat);
  require(std::isfinite(penalty) && penalty > 0, kOperation, "penalty must be > 0; got ", penalty);
  const BeamStep job{static_cast<int>(rows.shape(0)),
                     static_cast<int>(rows.shape(1)),
                     static_cast<int>(in.shape(0)),
                     static_cast<int>(in.shape(1)),
                     static_cast<int>(past.shape(1)),
                     end,
                     no_repeat,
                     may_end,
                     penalty};
  // a copy of what was checked: without the GIL another thread may write into the array
  const std::vector<std::int64_t> places(data_of<std::int64_t>(rows),
                                         data_of<std::int64_t>(rows) + rows.size());
  const BeamsBefore before{data_of<float>(in), data_of<std::int64_t>(past), places.data(),
                           data_of<double>(log_probs), data_of<double>(scores)};
  const py::gil_scoped_release unlocked;
  if (emulated_order < 0) {
    beam_step_cpu(job, before, after);
  } else {
    beam_step_emulated(job, before, after, emulated_order);
  }
}

}  // namespace

void bind_beam_step(py::module_& m) {
  m.def("beam_step", &run, py::arg("logits"), py::arg("history"), py::arg("row"),
        py::arg("log_prob"), py::arg("score"), py::arg("parent"), py::arg("token"),
        py::arg("new_log_prob"), py::arg("new_score"), py::kw_only(), py::arg("end"),
        py::arg("no_repeat") = 0, py::arg("may_end") = true, py::arg("penalty") = 1.0,
        py::arg("emulated_order") = -1);
}

}  // namespace edgedl
