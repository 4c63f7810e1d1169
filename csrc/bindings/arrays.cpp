#include "bindings/arrays.h"

#include <pybind11/numpy.h>

#include <string>

#include "bindings/dlpack.h"
#include "core/error.h"

namespace py = pybind11;

namespace edgedl {
namespace {

bool has_shape(const ArrayView& view, std::initializer_list<py::ssize_t> shape) {
  if (view.ndim != static_cast<int>(shape.size())) return false;
  int axis = 0;
  for (const py::ssize_t size : shape) {
    if (size != kAny && view.shape[axis] != size) return false;
    ++axis;
  }
  return true;
}

}  // namespace

Place place_of(const py::handle& value) {
  if (py::isinstance<py::array>(value)) return Place::kHost;
  if (has_dlpack(value)) return place_of(dlpack_device_type(value));
  return py::hasattr(value, "__cuda_array_interface__") ? Place::kGpu : Place::kNoArray;
}

std::ostream& operator<<(std::ostream& out, const Described& described) {
  const py::handle value = described.value;
  if (!py::isinstance<py::array>(value)) {
    return out << py::type::of(value).attr("__name__").cast<std::string>();
  }
  return out << py::str(value.attr("shape")).cast<std::string>() << ' '
             << py::str(value.attr("dtype")).cast<std::string>();
}

Arrays::Arrays(const char* operation) : operation_(operation) {
  kept_.reserve(4);
}

ArrayView Arrays::view(const char* rule, const py::handle& value) {
  keep(py::reinterpret_borrow<py::object>(value));
  std::string problem;
  try {
    return read(rule, value);
  } catch (const py::error_already_set& err) {
    if (!err.matches(PyExc_Exception)) throw;
    problem = err.type().attr("__name__").cast<std::string>() + ": " +
              py::str(err.value()).cast<std::string>();
  } catch (const py::cast_error& err) {
    problem = err.what();
  }
  require(false, operation_, rule, "; got ", Described{value}, " that cannot be read: ", problem);
  return {};
}

ArrayView Arrays::packed(const char* rule, const py::handle& value, const char* dtype,
                         std::initializer_list<py::ssize_t> shape) {
  const ArrayView found = view(rule, value);
  require(found.has_dtype(dtype) && has_shape(found, shape), operation_, rule, "; got ", found);
  if (found.is_packed()) return found;
  require(false, operation_, rule, "; got strides ", strides_of(found), "; ", copy_hint());
  return found;
}

ArrayView Arrays::packed_out(const char* rule, const py::handle& value, const char* dtype,
                             std::initializer_list<py::ssize_t> shape) {
  const ArrayView found = packed(rule, value, dtype, shape);
  require(!found.is_read_only, operation_, rule, "; got a read-only array");
  return found;
}

void Arrays::require_memory(const char* rule, const ArrayView& view) const {
  for (int i = 0; i < view.ndim; ++i) {
    require(view.shape[i] >= 0, operation_, rule, "; got ", view);
  }
  require(view.data != nullptr || view.is_empty(), operation_, rule, "; got an array at address 0");
}

void Arrays::require_apart(const ArrayView& in, const ArrayView& out) const {
  require(!overlap(in, out), operation_,
          "out must not overlap the input; got arrays that share memory");
}

void Arrays::require_all_apart(std::initializer_list<ArrayView> ins,
                               std::initializer_list<ArrayView> outs) const {
  for (const ArrayView* out = outs.begin(); out != outs.end(); ++out) {
    for (const ArrayView& in : ins) require_apart(in, *out);
    for (const ArrayView* other = outs.begin(); other != out; ++other) require_apart(*other, *out);
  }
}

}  // namespace edgedl
