// Arrays from Python, on the host or on a GPU, as one kind of view.
#pragma once

#include <pybind11/numpy.h>

#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <string>

#include "core/device.h"

namespace edgedl {

// Good as long as the Arrays that made it.
struct ArrayView {
  static constexpr int kMaxAxes = 8;

  std::uint8_t* data;
  char kind;  // as in NumPy: u, i, f, b, or ? for what NumPy lacks
  int item_bytes;
  int ndim;
  pybind11::ssize_t shape[kMaxAxes];
  pybind11::ssize_t strides[kMaxAxes];  // in bytes
  bool is_read_only;
  int device;

  bool is_uint8() const { return kind == 'u' && item_bytes == 1; }
  bool has_dtype(const char* name) const;
  bool is_packed() const;  // row-major without gaps, and aligned
};

// "(2, 3) uint8"
std::ostream& operator<<(std::ostream& out, const ArrayView& view);

std::string strides_of(const ArrayView& view);  // "(6, 2)"

template <class T>
T* pointer_to(const ArrayView& view) {
  return reinterpret_cast<T*>(view.data);
}

// Reads the arrays of one call.
class Arrays {
 public:
  explicit Arrays(const char* operation) : operation_(operation) {}
  Arrays(const Arrays&) = delete;
  Arrays& operator=(const Arrays&) = delete;
  virtual ~Arrays() = default;

  const char* operation() const { return operation_; }

  // Throws Error("[operation] rule; got ...") if `value` is no array that lies where it must.
  virtual ArrayView view(const char* rule, const pybind11::handle& value) = 0;

  // A view that also is packed and has this type and shape, in which kAny fits any size.
  ArrayView packed(const char* rule, const pybind11::handle& value, const char* dtype,
                   std::initializer_list<pybind11::ssize_t> shape);
  // As `packed`, and writable.
  ArrayView packed_out(const char* rule, const pybind11::handle& value, const char* dtype,
                       std::initializer_list<pybind11::ssize_t> shape);
  // Throws Error if the memory of both overlaps.
  void require_apart(const ArrayView& in, const ArrayView& out) const;
  // Throws Error if one of `outs` shares memory with one of `ins` or with another of `outs`.
  void require_all_apart(std::initializer_list<ArrayView> ins,
                         std::initializer_list<ArrayView> outs) const;
  // What makes a copy that fits, as the end of an error.
  virtual const char* copy_hint() const = 0;

 private:
  const char* operation_;
};

// NumPy arrays.
class HostArrays final : public Arrays {
 public:
  using Arrays::Arrays;
  ArrayView view(const char* rule, const pybind11::handle& value) override;
  const char* copy_hint() const override {
    return "numpy.ascontiguousarray makes a copy that fits";
  }
};

}  // namespace edgedl
