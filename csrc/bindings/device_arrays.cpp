#include "bindings/device_arrays.h"

#include <utility>

#include "bindings/arrays.h"
#include "core/error.h"

namespace py = pybind11;

namespace edgedl {
namespace {

// ---- DLPack: https://dmlc.github.io/dlpack/latest/c_api.html
// ---------------------------------------

constexpr int kDLCUDA = 2;
constexpr int kDLCUDAManaged = 13;

struct DLTensor {
  void* data;
  std::int32_t device_type;
  std::int32_t device_id;
  std::int32_t ndim;
  std::uint8_t code;
  std::uint8_t bits;
  std::uint16_t lanes;
  std::int64_t* shape;
  std::int64_t* strides;  // in elements; null for row-major
  std::uint64_t byte_offset;
};

struct DLManagedTensor {
  static constexpr const char* kName = "dltensor";
  static constexpr const char* kUsedName = "used_dltensor";
  DLTensor tensor;
  void* context;
  void (*deleter)(DLManagedTensor*);
};

struct DLManagedTensorVersioned {
  static constexpr const char* kName = "dltensor_versioned";
  static constexpr const char* kUsedName = "used_dltensor_versioned";
  std::uint32_t major;
  std::uint32_t minor;
  void* context;
  void (*deleter)(DLManagedTensorVersioned*);
  std::uint64_t flags;
  DLTensor tensor;
};
constexpr std::uint64_t kReadOnly = 1;

// Takes over what a capsule holds, so that its deleter is called once, by us.
template <class Managed>
std::shared_ptr<Managed> taken(const py::object& capsule) {
  auto* managed = static_cast<Managed*>(PyCapsule_GetPointer(capsule.ptr(), Managed::kName));
  if (managed == nullptr || PyCapsule_SetName(capsule.ptr(), Managed::kUsedName) != 0) {
    throw py::error_already_set();
  }
  return {managed, [](Managed* one) {
            if (one->deleter != nullptr) one->deleter(one);
          }};
}

char kind_of(const DLTensor& tensor) {
  if (tensor.lanes != 1 || tensor.bits % 8 != 0) return '?';
  switch (tensor.code) {
    case 0:
      return 'i';
    case 1:
      return 'u';
    case 2:
      return 'f';
    case 6:
      return 'b';
    default:
      return '?';
  }
}

void read(const DLTensor& tensor, ArrayView& view) {
  view.data = static_cast<std::uint8_t*>(tensor.data) + tensor.byte_offset;
  view.kind = kind_of(tensor);
  view.item_bytes = tensor.bits < 8 ? 1 : tensor.bits / 8;
  view.device = tensor.device_id;
  py::ssize_t packed = view.item_bytes;
  for (int i = tensor.ndim - 1; i >= 0; --i) {
    view.shape[i] = tensor.shape[i];
    view.strides[i] = tensor.strides == nullptr ? packed : tensor.strides[i] * view.item_bytes;
    packed *= tensor.shape[i];
  }
}

py::object capsule_of(const py::handle& value, std::uintptr_t stream) {
  const auto number = stream == 0 ? 1 : stream;  // 0 would be ambiguous: 1 is the default stream
  const py::object make = value.attr("__dlpack__");
  try {
    return make(py::arg("stream") = number, py::arg("max_version") = py::make_tuple(1, 0));
  } catch (py::error_already_set& err) {
    if (!err.matches(PyExc_TypeError)) throw;
  }
  return make(py::arg("stream") = number);  // made before DLPack 1.0
}

std::pair<int, int> dlpack_device(const py::handle& value) {
  return value.attr("__dlpack_device__")().cast<std::pair<int, int>>();
}

bool has_dlpack(const py::handle& value) {
  return py::hasattr(value, "__dlpack__") && py::hasattr(value, "__dlpack_device__");
}

}  // namespace

bool is_on_gpu(const py::handle& value) {
  if (py::isinstance<py::array>(value)) return false;
  try {
    if (has_dlpack(value)) {
      const int type = dlpack_device(value).first;
      return type == kDLCUDA || type == kDLCUDAManaged;
    }
    return py::hasattr(value, "__cuda_array_interface__");
  } catch (const py::error_already_set&) {
    return false;
  } catch (const py::cast_error&) {
    return false;
  }
}

DeviceArrays::DeviceArrays(const char* operation, std::uintptr_t stream)
    : Arrays(operation), stream_(reinterpret_cast<CUstream_st*>(stream)) {}

ArrayView DeviceArrays::view(const char* rule, const py::handle& value) {
  if (!is_on_gpu(value)) {
    const bool is_array = has_dlpack(value) || py::isinstance<py::array>(value);
    require(false, operation(), rule, ", on a GPU; got ", describe(value),
            is_array ? " on the host; copy it to the GPU, or use the function without _cuda" : "");
  }
  ArrayView found{};
  try {
    found = has_dlpack(value) ? from_dlpack(rule, value) : from_interface(rule, value);
  } catch (const py::error_already_set& err) {
    require(false, operation(), rule, "; got ", describe(value),
            " that cannot be read: ", err.what());
  } catch (const py::cast_error& err) {
    require(false, operation(), rule, "; got ", describe(value),
            " that cannot be read: ", err.what());
  }
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
  const py::object capsule = capsule_of(value, reinterpret_cast<std::uintptr_t>(stream_));
  ArrayView found{};
  const DLTensor* tensor = nullptr;
  if (PyCapsule_IsValid(capsule.ptr(), DLManagedTensorVersioned::kName) != 0) {
    const auto managed = taken<DLManagedTensorVersioned>(capsule);
    tensors_.push_back(managed);
    require(managed->major == 1, operation(), rule, "; got DLPack version ", managed->major, ".",
            managed->minor, ", of which 0 and 1 are known");
    found.is_read_only = (managed->flags & kReadOnly) != 0;
    tensor = &managed->tensor;
  } else {
    const auto managed = taken<DLManagedTensor>(capsule);
    tensors_.push_back(managed);
    tensor = &managed->tensor;
  }
  require(tensor->ndim <= ArrayView::kMaxAxes, operation(), rule, "; got ", tensor->ndim, " axes");
  found.ndim = tensor->ndim;
  read(*tensor, found);
  return found;
}

ArrayView DeviceArrays::from_interface(const char* rule, const py::handle& value) {
  const py::dict interface = value.attr("__cuda_array_interface__").cast<py::dict>();
  interfaces_.push_back(interface);
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
  for (int i = 0; i < view.ndim; ++i) {
    require(view.shape[i] >= 0, operation(), rule, "; got ", view);
    if (view.shape[i] == 0) return;
  }
  require(view.data != nullptr, operation(), rule, "; got an array at address 0");
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
