#include "bindings/array_view.h"

#include <utility>

#include "bindings/arrays.h"
#include "bindings/device_arrays.h"
#include "core/error.h"

namespace py = pybind11;

namespace edgedl {
namespace {

std::string listed(const py::ssize_t* values, int count) {
  std::string text = "(";
  for (int i = 0; i < count; ++i) text += (i == 0 ? "" : ", ") + std::to_string(values[i]);
  return text + (count == 1 ? ",)" : ")");
}

std::string dtype_of(const ArrayView& view) {
  if (view.kind == 'b') return "bool";
  const char* kind = view.kind == 'u' ? "uint" : view.kind == 'i' ? "int" : "float";
  if (view.kind == '?') kind = "unknown";
  return kind + std::to_string(8 * view.item_bytes);
}

using Range = std::pair<const std::uint8_t*, const std::uint8_t*>;

// The bytes between the first and the last element.
Range range_of(const ArrayView& view) {
  const std::uint8_t* first = view.data;
  const std::uint8_t* end = view.data + view.item_bytes;
  for (int i = 0; i < view.ndim; ++i) {
    if (view.shape[i] == 0) return {view.data, view.data};
    const py::ssize_t length = (view.shape[i] - 1) * view.strides[i];
    (length < 0 ? first : end) += length;
  }
  return {first, end};
}

// For an array on a GPU, where to go with it. Made when an error is written.
struct DeviceHint {
  const char* operation;
  py::handle value;
};

std::ostream& operator<<(std::ostream& out, const DeviceHint& hint) {
  if (!is_on_gpu(hint.value)) return out;
  return out << "; its function is " << hint.operation << "_cuda";
}

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

bool ArrayView::has_dtype(const char* name) const {
  return dtype_of(*this) == name;
}

bool ArrayView::is_packed() const {
  for (int i = 0; i < ndim; ++i) {
    if (shape[i] == 0) return true;  // whatever its strides: NumPy makes them 0
  }
  py::ssize_t expected = item_bytes;
  for (int i = ndim - 1; i >= 0; --i) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return reinterpret_cast<std::uintptr_t>(data) % static_cast<unsigned>(item_bytes) == 0;
}

std::ostream& operator<<(std::ostream& out, const ArrayView& view) {
  return out << listed(view.shape, view.ndim) << ' ' << dtype_of(view);
}

std::string strides_of(const ArrayView& view) {
  return listed(view.strides, view.ndim);
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

void Arrays::require_apart(const ArrayView& in, const ArrayView& out) const {
  const auto [in_begin, in_end] = range_of(in);
  const auto [out_begin, out_end] = range_of(out);
  require(in_end <= out_begin || out_end <= in_begin, operation_,
          "out must not overlap the input; got arrays that share memory");
}

void Arrays::require_all_apart(std::initializer_list<ArrayView> ins,
                               std::initializer_list<ArrayView> outs) const {
  for (const ArrayView* out = outs.begin(); out != outs.end(); ++out) {
    for (const ArrayView& in : ins) require_apart(in, *out);
    for (const ArrayView* other = outs.begin(); other != out; ++other) require_apart(*other, *out);
  }
}

ArrayView HostArrays::view(const char* rule, const py::handle& value) {
  require(py::isinstance<py::array>(value), operation(), rule, "; got ", describe(value),
          DeviceHint{operation(), value});
  const py::array array = py::reinterpret_borrow<py::array>(value);
  const py::dtype dtype = array.dtype();
  const bool is_known =
      dtype.kind() == 'u' || dtype.kind() == 'i' || dtype.kind() == 'f' || dtype.kind() == 'b';
  const bool is_native = dtype.byteorder() != '>';
  require(array.ndim() <= ArrayView::kMaxAxes && is_known && is_native, operation(), rule, "; got ",
          describe(value));
  ArrayView found{};
  found.data = static_cast<std::uint8_t*>(const_cast<void*>(array.data()));
  found.kind = dtype.kind();
  found.item_bytes = static_cast<int>(dtype.itemsize());
  found.ndim = static_cast<int>(array.ndim());
  for (int i = 0; i < found.ndim; ++i) {
    found.shape[i] = array.shape(i);
    found.strides[i] = array.strides(i);
  }
  found.is_read_only = !array.writeable();
  found.device = kNoDevice;
  return found;
}

}  // namespace edgedl
