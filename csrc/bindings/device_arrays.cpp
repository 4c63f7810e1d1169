#include "bindings/device_arrays.h"

#include <pybind11/numpy.h>

#include <string>
#include <utility>

#include "bindings/dlpack.h"
#include "core/error.h"

namespace py = pybind11;

namespace edgedl {

DeviceArrays::DeviceArrays(const char* operation, std::uintptr_t stream)
    : Arrays(operation), stream_(reinterpret_cast<CUstream_st*>(stream)) {}

ArrayView DeviceArrays::read(const char* rule, const py::handle& value) {
  const Place place = place_of(value);
  if (place != Place::kGpu) {
    const char* where = place == Place::kHost
                            ? " on the host; copy it to the GPU, or use the function without _cuda"
                            : "";
    require(false, operation(), rule, ", on a GPU; got ", Described{value}, where);
  }
  const ArrayView found =
      has_dlpack(value) ? from_dlpack(rule, value) : from_interface(rule, value);
  check_device(rule, found);
  return found;
}

ArrayView DeviceArrays::workspace(const py::handle& value, std::size_t bytes) {
  const ArrayView found =
      packed_out("workspace must be a contiguous, writable uint8 array", value, "uint8", {kAny});
  require(static_cast<std::size_t>(found.shape[0]) >= bytes, operation(),
          "workspace must have at least ", bytes, " bytes; got ", found);
  require(reinterpret_cast<std::uintptr_t>(found.data) % 8 == 0, operation(),
          "workspace must be aligned to 8 bytes; got address ", static_cast<void*>(found.data));
  return found;
}

ArrayView DeviceArrays::from_dlpack(const char* rule, const py::handle& value) {
  // 0 would be ambiguous: 1 is the default stream
  const auto number = stream_ == nullptr ? 1 : reinterpret_cast<std::uintptr_t>(stream_);
  const Loan loan = borrow(operation(), rule, value, py::int_(number));
  keep(loan.keeper);
  return loan.view;
}

ArrayView DeviceArrays::from_interface(const char* rule, const py::handle& value) {
  const py::dict interface = value.attr("__cuda_array_interface__").cast<py::dict>();
  keep(interface);
  const auto entry = [&](const char* key) -> py::object {
    return interface.contains(key) ? py::object(interface[key]) : py::none();
  };
  require(entry("mask").is_none(), operation(), rule, "; got an array with a mask");
  const auto shape = interface["shape"].cast<py::tuple>();
  const auto [address, is_read_only] = interface["data"].cast<std::pair<std::uintptr_t, bool>>();
  const py::dtype dtype(interface["typestr"].cast<std::string>());
  require(shape.size() <= ArrayView::kMaxAxes, operation(), rule, "; got ", shape.size(), " axes");
  ArrayView found{};
  found.data = reinterpret_cast<std::uint8_t*>(address);
  found.kind = dtype.byteorder() == '>' || dtype.kind() == 'V' ? '?' : dtype.kind();
  found.item_bytes = static_cast<int>(dtype.itemsize());
  found.ndim = static_cast<int>(shape.size());
  found.is_read_only = is_read_only;
  found.device = kUnknownDevice;
  const py::object strides = entry("strides");
  py::ssize_t packed = found.item_bytes;
  for (int i = found.ndim - 1; i >= 0; --i) {
    const auto axis = static_cast<std::size_t>(i);
    found.shape[i] = shape[axis].cast<py::ssize_t>();
    found.strides[i] =
        strides.is_none() ? packed : strides.cast<py::tuple>()[axis].cast<py::ssize_t>();
    packed *= found.shape[i];
  }
  const py::object filled_on = entry("stream");
  if (!filled_on.is_none()) {
    auto* before = reinterpret_cast<CUstream_st*>(filled_on.cast<std::uintptr_t>());
    if (before != stream_) wait_for(operation(), stream_, before);
  }
  return found;
}

void DeviceArrays::check_device(const char* rule, const ArrayView& view) {
  require_memory(rule, view);
  if (view.is_empty()) return;
  const int found = device_of(view.data);
  require(found != kNoDevice, operation(), rule, ", on a GPU; got an address on the host");
  const int device = found != kUnknownDevice ? found : view.device;
  if (device == kUnknownDevice) return;
  const int current = device_ != kUnknownDevice ? device_ : current_device();
  require(current == kUnknownDevice || current == device, operation(),
          "all arrays must lie on the current GPU, ", current, "; got one on GPU ", device);
  device_ = device;
}

}  // namespace edgedl
