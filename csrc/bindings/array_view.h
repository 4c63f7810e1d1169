// Memory that holds an array, whoever made it.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <ostream>
#include <string>

#include "core/device.h"

namespace edgedl {

// Good as long as the Arrays that made it.
struct ArrayView {
  static constexpr int kMaxAxes = 8;

  std::uint8_t* data;
  char kind;  // as in NumPy: u, i, f, b; B for bfloat, ? for what is not known
  int item_bytes;
  int ndim;
  pybind11::ssize_t shape[kMaxAxes];
  pybind11::ssize_t strides[kMaxAxes];  // in bytes
  bool is_read_only;
  int device;  // see core/device.h

  bool is_uint8() const { return kind == 'u' && item_bytes == 1; }
  bool has_dtype(const char* name) const;
  bool is_packed() const;  // row-major without gaps, and aligned
  bool is_empty() const;
};

// "(2, 3) uint8"
std::ostream& operator<<(std::ostream& out, const ArrayView& view);

std::string strides_of(const ArrayView& view);  // "(6, 2)"

// Whether there is a byte that both may hold.
bool overlap(const ArrayView& a, const ArrayView& b);

template <class T>
T* pointer_to(const ArrayView& view) {
  return reinterpret_cast<T*>(view.data);
}

}  // namespace edgedl
