// Arrays on a GPU: whatever has DLPack (version 0 or 1) or __cuda_array_interface__ (2 or 3).
#pragma once

#include <cstddef>
#include <cstdint>

#include "bindings/arrays.h"

namespace edgedl {

// For a kernel that will run on `stream`: the stream waits for the work that fills the arrays.
// To be destroyed once the kernel is queued.
class DeviceArrays final : public Arrays {
 public:
  DeviceArrays(const char* operation, std::uintptr_t stream);

  // A packed, writable uint8 array of at least so many bytes, aligned to 8.
  ArrayView workspace(const pybind11::handle& value, std::size_t bytes);

  CUstream_st* stream() const { return stream_; }
  const char* copy_hint() const override { return "a contiguous copy fits"; }

 private:
  // Throws Error for arrays on the host, and for those on another GPU than the others or than the
  // calling thread's.
  ArrayView read(const char* rule, const pybind11::handle& value) override;
  ArrayView from_dlpack(const char* rule, const pybind11::handle& value);
  ArrayView from_interface(const char* rule, const pybind11::handle& value);
  void check_device(const char* rule, const ArrayView& view);

  CUstream_st* stream_;
  int device_ = kUnknownDevice;
};

}  // namespace edgedl
