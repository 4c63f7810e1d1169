#include "bindings/define.h"

#include <algorithm>
#include <sstream>

#include "bindings/arrays.h"

namespace py = pybind11;

namespace edgedl {
namespace {

constexpr std::size_t kLongest = 60;
constexpr py::ssize_t kMostParts = 8;

bool is_plain(const py::handle& value) {
  return value.is_none() || PyLong_Check(value.ptr()) || PyFloat_Check(value.ptr()) ||
         PyUnicode_Check(value.ptr());
}

// What has a text that is made quickly.
bool is_small(const py::handle& value) {
  if (!PyTuple_Check(value.ptr()) && !PyList_Check(value.ptr())) return is_plain(value);
  if (length_of(value) > kMostParts) return false;
  const py::tuple parts(py::reinterpret_borrow<py::object>(value));
  return std::all_of(parts.begin(), parts.end(), is_plain);
}

}  // namespace

std::string shown(const py::handle& value) {
  if (is_small(value)) {
    try {
      const auto text = py::repr(value).cast<std::string>();
      if (text.size() <= kLongest && text.find('\n') == std::string::npos) return text;
    } catch (const py::error_already_set& err) {
      if (!err.matches(PyExc_Exception)) throw;
    }
  }
  std::ostringstream text;
  text << Described{value};
  return text.str();
}

py::ssize_t length_of(const py::handle& value) {
  if (PySequence_Check(value.ptr()) == 0) return -1;
  const py::ssize_t length = PySequence_Size(value.ptr());
  if (length < 0) PyErr_Clear();
  return length;
}

}  // namespace edgedl
