// NumPy arrays that come from Python, checked.
#pragma once

#include <pybind11/numpy.h>

#include <initializer_list>
#include <ostream>

namespace edgedl {

// Writes "(2, 3) float32", or the name of a type that is no array, once it is asked to: making that
// text takes longer than some kernels.
struct Described {
  pybind11::handle value;
};
std::ostream& operator<<(std::ostream& out, const Described& described);

inline Described describe(const pybind11::handle& value) {
  return {value};
}

// Any size in an expected shape.
constexpr pybind11::ssize_t kAny = -1;

// Throws Error unless `value` is a contiguous, aligned array of this type and shape, whose rule
// reads "name must be a contiguous float32 array (N, C)".
pybind11::array checked_array(const char* operation, const char* rule,
                              const pybind11::handle& value, const char* dtype,
                              std::initializer_list<pybind11::ssize_t> shape);

// As checked_array, and writable; returns where to write.
void* checked_out(const char* operation, const char* rule, const pybind11::handle& value,
                  const char* dtype, std::initializer_list<pybind11::ssize_t> shape);

// Throws Error if the memory of both overlaps.
void require_apart(const char* operation, const pybind11::array& in, const pybind11::array& out);

}  // namespace edgedl
