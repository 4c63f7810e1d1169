#include <pybind11/pybind11.h>

#include "bindings/beam_step.h"
#include "bindings/best_class.h"
#include "bindings/denormalize.h"
#include "bindings/frame_difference.h"
#include "bindings/lstm_step.h"
#include "bindings/nms.h"
#include "bindings/overlay.h"
#include "bindings/preprocess.h"
#include "bindings/softmax_top_k.h"
#include "bindings/targets.h"
#include "core/error.h"

namespace py = pybind11;

PYBIND11_MODULE(_core, m) {
  m.doc() = "Compiled kernels of edgedl.";
  py::register_local_exception_translator([](std::exception_ptr error) {
    try {
      if (error) std::rethrow_exception(error);
    } catch (const edgedl::Error& err) {
      const py::object type = py::module_::import("edgedl.errors").attr("UsageError");
      const py::object value = type("E110", err.what());
      PyErr_SetObject(type.ptr(), value.ptr());
    }
  });
  edgedl::bind_targets(m);
  edgedl::bind_preprocess(m);
  edgedl::bind_denormalize(m);
  edgedl::bind_best_class(m);
  edgedl::bind_nms(m);
  edgedl::bind_frame_difference(m);
  edgedl::bind_overlay(m);
  edgedl::bind_softmax_top_k(m);
  edgedl::bind_beam_step(m);
  edgedl::bind_lstm_step(m);
}
