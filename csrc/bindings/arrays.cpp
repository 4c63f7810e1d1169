#include "bindings/arrays.h"

#include <cstdlib>
#include <cstring>

#include "bindings/device_arrays.h"
#include "core/error.h"

namespace py = pybind11;

namespace edgedl {
namespace {

constexpr bool kIsLittle = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;

bool has_shape(const py::array& array, std::initializer_list<py::ssize_t> shape) {
  if (array.ndim() != static_cast<py::ssize_t>(shape.size())) return false;
  py::ssize_t axis = 0;
  for (const py::ssize_t size : shape) {
    if (size != kAny && array.shape(axis) != size) return false;
    ++axis;
  }
  return true;
}

// Whether the elements are of the type that a name such as "float32" says, in native byte order;
// asking NumPy for the type of that name would take longer than some kernels.
bool has_type(const py::array& array, const char* dtype) {
  const char* bits = dtype + std::strcspn(dtype, "0123456789");
  const py::dtype found = array.dtype();
  return found.kind() == *dtype && found.itemsize() * 8 == std::atoi(bits) &&
         found.byteorder() != (kIsLittle ? '>' : '<');
}

bool is_packed(const py::array& array) {
  return (array.flags() & py::array::c_style) != 0 &&
         (array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0;
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Described& described) {
  const py::handle value = described.value;
  if (!py::isinstance<py::array>(value)) {
    out << py::type::of(value).attr("__name__").cast<std::string>();
    return is_on_gpu(value) ? out << " on a GPU" : out;
  }
  return out << py::str(value.attr("shape")).cast<std::string>() << ' '
             << py::str(value.attr("dtype")).cast<std::string>();
}

py::array checked_array(const char* operation, const char* rule, const py::handle& value,
                        const char* dtype, std::initializer_list<py::ssize_t> shape) {
  require(py::isinstance<py::array>(value), operation, rule, "; got ", describe(value));
  py::array array = py::reinterpret_borrow<py::array>(value);
  require(has_type(array, dtype) && has_shape(array, shape), operation, rule, "; got ",
          describe(value));
  if (!is_packed(array)) {
    require(false, operation, rule, "; got strides ",
            py::str(array.attr("strides")).cast<std::string>(),
            "; numpy.ascontiguousarray makes a copy that fits");
  }
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
