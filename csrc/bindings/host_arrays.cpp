#include "bindings/host_arrays.h"

#include <pybind11/numpy.h>

#include "bindings/dlpack.h"
#include "core/error.h"

namespace py = pybind11;

namespace edgedl {
namespace {

constexpr char kForeignOrder = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? '>' : '<';

}  // namespace

ArrayView HostArrays::read(const char* rule, const py::handle& value) {
  if (py::isinstance<py::array>(value)) return from_numpy(rule, value);
  const Place place = place_of(value);
  if (place != Place::kHost) refuse(rule, value, place);
  return from_dlpack(rule, value);
}

ArrayView HostArrays::from_numpy(const char* rule, const py::handle& value) const {
  const py::array array = py::reinterpret_borrow<py::array>(value);
  const py::dtype dtype = array.dtype();
  const char kind = dtype.kind();
  const bool is_known = kind == 'u' || kind == 'i' || kind == 'f' || kind == 'b';
  require(array.ndim() <= ArrayView::kMaxAxes && is_known && dtype.byteorder() != kForeignOrder,
          operation(), rule, "; got ", Described{value});
  ArrayView found{};
  found.data = static_cast<std::uint8_t*>(const_cast<void*>(array.data()));
  found.kind = kind;
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

ArrayView HostArrays::from_dlpack(const char* rule, const py::handle& value) {
  const Loan loan = borrow(operation(), rule, value, py::none());
  keep(loan.keeper);
  if (loan.place != Place::kHost) refuse(rule, value, loan.place);
  require_memory(rule, loan.view);
  ArrayView found = loan.view;
  found.device = kNoDevice;
  return found;
}

void HostArrays::refuse(const char* rule, const py::handle& value, Place place) const {
  std::string where;
  if (place == Place::kGpu) where = " on a GPU; copy it to the host";
  if (place == Place::kElsewhere) where = " on another device; copy it to the host";
  if (place == Place::kGpu && gpu_twin_ != nullptr) where += ", or use " + std::string(gpu_twin_);
  require(false, operation(), rule, "; got ", Described{value}, where);
}

}  // namespace edgedl
