// Arrays on a GPU: whatever has DLPack (version 0 or 1) or __cuda_array_interface__ (2 or 3).
#pragma once

#include <memory>
#include <vector>

#include "bindings/array_view.h"

namespace edgedl {

// Is it an array on a GPU?
bool is_on_gpu(const pybind11::handle& value);

// Reads the arrays of one call, whose kernel will run on `stream`: the stream waits for the work
// that fills them. Destroy it while holding the GIL, once the kernel is queued.
class DeviceArrays final : public Arrays {
 public:
  DeviceArrays(const char* operation, std::uintptr_t stream);

  // Throws Error for arrays on the host, and for those on another GPU than the others or than the
  // calling thread's.
  ArrayView view(const char* rule, const pybind11::handle& value) override;

  // A packed, writable uint8 array of at least so many bytes, aligned to 8.
  ArrayView workspace(const pybind11::handle& value, std::size_t bytes);

  CUstream_st* stream() const { return stream_; }
  const char* copy_hint() const override { return "a contiguous copy fits"; }

 private:
  ArrayView from_dlpack(const char* rule, const pybind11::handle& value);
  ArrayView from_interface(const char* rule, const pybind11::handle& value);
  void check_device(const char* rule, const ArrayView& view);

  CUstream_st* stream_;
  int device_ = kUnknownDevice;
  std::vector<pybind11::object> interfaces_;
  std::vector<std::shared_ptr<void>> tensors_;  // DLPack's, which their deleters end
};

}  // namespace edgedl
