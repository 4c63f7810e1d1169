// Arrays on the host: NumPy's, and whatever has DLPack.
#pragma once

#include "bindings/arrays.h"

namespace edgedl {

class HostArrays final : public Arrays {
 public:
  // `gpu_twin` is what does the same for arrays on a GPU; null if nothing does.
  explicit HostArrays(const char* operation, const char* gpu_twin = nullptr)
      : Arrays(operation), gpu_twin_(gpu_twin) {}

  const char* copy_hint() const override {
    return "numpy.ascontiguousarray makes a copy that fits";
  }

 private:
  ArrayView read(const char* rule, const pybind11::handle& value) override;
  ArrayView from_numpy(const char* rule, const pybind11::handle& value) const;
  ArrayView from_dlpack(const char* rule, const pybind11::handle& value);
  void refuse(const char* rule, const pybind11::handle& value, Place place) const;

  const char* gpu_twin_;
};

}  // namespace edgedl
