// The arrays of one call from Python, checked. HostArrays and DeviceArrays say which are taken.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <utility>
#include <vector>

#include "bindings/array_view.h"

namespace edgedl {

constexpr pybind11::ssize_t kAny = -1;                // any size in an expected shape
constexpr pybind11::ssize_t kLongestAxis = 1L << 30;  // kernels count in int

// Where an array lies, whatever made it.
enum class Place { kNoArray, kHost, kGpu, kElsewhere };
Place place_of(const pybind11::handle& value);

// Writes "(2, 3) >f4", or the name of a type that is not NumPy's.
struct Described {
  pybind11::handle value;
};
std::ostream& operator<<(std::ostream& out, const Described& described);

// Reads the arrays of one call and keeps them alive. A rule reads "name must be a contiguous
// float32 array (N, C)" and becomes Error("[operation] rule; got ..."). To be destroyed with the
// GIL.
class Arrays {
 public:
  explicit Arrays(const char* operation);
  Arrays(const Arrays&) = delete;
  Arrays& operator=(const Arrays&) = delete;
  virtual ~Arrays() = default;

  const char* operation() const { return operation_; }

  // Throws Error if `value` is no array that lies where it must.
  ArrayView view(const char* rule, const pybind11::handle& value);
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

 protected:
  void keep(pybind11::object owner) { kept_.push_back(std::move(owner)); }
  // Throws Error if an axis is shorter than nothing, or elements lie at address 0.
  void require_memory(const char* rule, const ArrayView& view) const;

 private:
  virtual ArrayView read(const char* rule, const pybind11::handle& value) = 0;

  const char* operation_;
  std::vector<pybind11::object> kept_;
};

// The elements of a packed array, for a kernel that relies on what was checked of them: without
// the GIL another thread may write into the array.
template <class T>
std::vector<T> copy_of(const ArrayView& view) {
  pybind11::ssize_t count = 1;
  for (int i = 0; i < view.ndim; ++i) count *= view.shape[i];
  return {pointer_to<const T>(view), pointer_to<const T>(view) + count};
}

}  // namespace edgedl
