#include "bindings/dlpack.h"

#include <cstdint>
#include <utility>

#include "core/error.h"

namespace py = pybind11;

namespace edgedl {
namespace {

// ---- the C structures: https://dmlc.github.io/dlpack/latest/c_api.html --------------------------

constexpr int kDLCPU = 1;
constexpr int kDLCUDA = 2;
constexpr int kDLCUDAHost = 3;
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
constexpr std::uint64_t kReadOnly = 1, kIsCopied = 2;

// -------------------------------------------------------------------------------------------------

template <class Managed>
void give_back(void* lent) {
  auto* managed = static_cast<Managed*>(lent);
  if (managed->deleter != nullptr) managed->deleter(managed);
}

// Takes over what a capsule holds, so that its deleter is called once, by the keeper.
template <class Managed>
std::pair<Managed*, py::object> taken(const py::object& capsule) {
  void* managed = PyCapsule_GetPointer(capsule.ptr(), Managed::kName);
  if (managed == nullptr || PyCapsule_SetName(capsule.ptr(), Managed::kUsedName) != 0) {
    throw py::error_already_set();
  }
  return {static_cast<Managed*>(managed), py::capsule(managed, &give_back<Managed>)};
}

char kind_of(const DLTensor& tensor) {
  if (tensor.lanes != 1 || tensor.bits % 8 != 0 || tensor.bits == 0) return '?';
  switch (tensor.code) {
    case 0:
      return 'i';
    case 1:
      return 'u';
    case 2:
      return 'f';
    case 4:
      return 'B';
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
  view.ndim = tensor.ndim;
  view.device = tensor.device_id;
  py::ssize_t packed = view.item_bytes;
  for (int i = tensor.ndim - 1; i >= 0; --i) {
    view.shape[i] = tensor.shape[i];
    view.strides[i] = tensor.strides == nullptr ? packed : tensor.strides[i] * view.item_bytes;
    packed *= tensor.shape[i];
  }
}

py::object capsule_of(const py::handle& value, const py::object& stream) {
  const py::object make = value.attr("__dlpack__");
  try {
    return make(py::arg("stream") = stream, py::arg("max_version") = py::make_tuple(1, 0));
  } catch (py::error_already_set& err) {
    if (!err.matches(PyExc_TypeError)) throw;
  }
  return make(py::arg("stream") = stream);  // made before DLPack 1.0
}

}  // namespace

bool has_dlpack(const py::handle& value) {
  return py::hasattr(value, "__dlpack__") && py::hasattr(value, "__dlpack_device__");
}

int dlpack_device_type(const py::handle& value) {
  return value.attr("__dlpack_device__")().cast<std::pair<int, int>>().first;
}

Place place_of(int dlpack_device_type) {
  switch (dlpack_device_type) {
    case kDLCPU:
    case kDLCUDAHost:
      return Place::kHost;
    case kDLCUDA:
    case kDLCUDAManaged:
      return Place::kGpu;
    default:
      return Place::kElsewhere;
  }
}

Loan borrow(const char* operation, const char* rule, const py::handle& value,
            const py::object& stream) {
  const py::object capsule = capsule_of(value, stream);
  Loan loan{};
  const DLTensor* tensor = nullptr;
  if (PyCapsule_IsValid(capsule.ptr(), DLManagedTensorVersioned::kName) != 0) {
    const auto [managed, keeper] = taken<DLManagedTensorVersioned>(capsule);
    loan.keeper = keeper;
    require(managed->major == 1, operation, rule, "; got DLPack version ", managed->major, ".",
            managed->minor, ", of which 0 and 1 are known");
    // what is written into a copy made for the loan is lost
    loan.view.is_read_only = (managed->flags & (kReadOnly | kIsCopied)) != 0;
    tensor = &managed->tensor;
  } else {
    const auto [managed, keeper] = taken<DLManagedTensor>(capsule);
    loan.keeper = keeper;
    tensor = &managed->tensor;
  }
  require(tensor->ndim >= 0 && tensor->ndim <= ArrayView::kMaxAxes, operation, rule, "; got ",
          tensor->ndim, " axes");
  read(*tensor, loan.view);
  loan.place = place_of(tensor->device_type);
  return loan;
}

}  // namespace edgedl
