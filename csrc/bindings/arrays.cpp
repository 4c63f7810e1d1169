#include "bindings/arrays.h"

#include "core/error.h"

namespace py = pybind11;

namespace edgedl {
namespace {

bool has_shape(const py::array& array, std::initializer_list<py::ssize_t> shape) {
  if (array.ndim() != static_cast<py::ssize_t>(shape.size())) return false;
  py::ssize_t axis = 0;
  for (const py::ssize_t size : shape) {
    if (size != kAny && array.shape(axis) != size) return false;
    ++axis;
  }
  return true;
}

bool is_packed(const py::array& array) {
  return (array.flags() & py::array::c_style) != 0 &&
         (array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0;
}

}  // namespace

std::string describe(const py::handle& value) {
  if (!py::isinstance<py::array>(value)) {
    return py::type::of(value).attr("__name__").cast<std::string>();
  }
  const py::array array = py::reinterpret_borrow<py::array>(value);
  return py::str(array.attr("shape")).cast<std::string>() + " " +
         py::str(array.attr("dtype")).cast<std::string>();
}

py::array checked_array(const char* operation, const char* rule, const py::handle& value,
                        const char* dtype, std::initializer_list<py::ssize_t> shape) {
  require(py::isinstance<py::array>(value), operation, rule, "; got ", describe(value));
  py::array array = py::reinterpret_borrow<py::array>(value);
  require(array.dtype().equal(py::dtype(dtype)) && has_shape(array, shape), operation, rule,
          "; got ", describe(value));
  require(is_packed(array), operation, rule, "; got strides ",
          py::str(array.attr("strides")).cast<std::string>(),
          "; numpy.ascontiguousarray makes a copy that fits");
  return array;
}

void* checked_out(const char* operation, const char* rule, const py::handle& value,
                  const char* dtype, std::initializer_list<py::ssize_t> shape) {
  py::array array = checked_array(operation, rule, value, dtype, shape);
  require(array.writeable(), operation, rule, "; got a read-only array");
  return array.mutable_data();
}

void require_apart(const char* operation, const py::array& in, const py::array& out) {
  const char* a = static_cast<const char*>(in.data());
  const char* b = static_cast<const char*>(out.data());
  require(a + in.nbytes() <= b || b + out.nbytes() <= a, operation,
          "out must not overlap the input; got arrays that share memory");
}

}  // namespace edgedl
