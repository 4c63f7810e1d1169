#include "bindings/array_view.h"

#include <cstdlib>
#include <cstring>
#include <utility>

namespace py = pybind11;

namespace edgedl {
namespace {

std::string listed(const py::ssize_t* values, int count) {
  std::string text = "(";
  for (int i = 0; i < count; ++i) text += (i == 0 ? "" : ", ") + std::to_string(values[i]);
  return text + (count == 1 ? ",)" : ")");
}

const char* word_of(char kind) {
  switch (kind) {
    case 'u':
      return "uint";
    case 'i':
      return "int";
    case 'f':
      return "float";
    case 'b':
      return "bool";
    case 'B':
      return "bfloat";
    default:
      return "unknown";
  }
}

using Range = std::pair<const std::uint8_t*, const std::uint8_t*>;

// The bytes between the first and the last element.
Range range_of(const ArrayView& view) {
  if (view.is_empty()) return {view.data, view.data};
  const std::uint8_t* first = view.data;
  const std::uint8_t* end = view.data + view.item_bytes;
  for (int i = 0; i < view.ndim; ++i) {
    const py::ssize_t length = (view.shape[i] - 1) * view.strides[i];
    (length < 0 ? first : end) += length;
  }
  return {first, end};
}

}  // namespace

bool ArrayView::has_dtype(const char* name) const {
  const char* word = word_of(kind);
  const std::size_t length = std::strlen(word);
  return std::strncmp(name, word, length) == 0 && std::atoi(name + length) == 8 * item_bytes;
}

bool ArrayView::is_packed() const {
  if (is_empty()) return true;  // whatever its strides: NumPy makes them 0
  py::ssize_t expected = item_bytes;
  for (int i = ndim - 1; i >= 0; --i) {
    if (shape[i] != 1 && strides[i] != expected) return false;
    expected *= shape[i];
  }
  return reinterpret_cast<std::uintptr_t>(data) % static_cast<unsigned>(item_bytes) == 0;
}

bool ArrayView::is_empty() const {
  for (int i = 0; i < ndim; ++i) {
    if (shape[i] == 0) return true;
  }
  return false;
}

std::ostream& operator<<(std::ostream& out, const ArrayView& view) {
  out << listed(view.shape, view.ndim) << ' ' << word_of(view.kind);
  return view.kind == 'b' ? out : out << 8 * view.item_bytes;
}

std::string strides_of(const ArrayView& view) {
  return listed(view.strides, view.ndim);
}

bool overlap(const ArrayView& a, const ArrayView& b) {
  const auto [a_begin, a_end] = range_of(a);
  const auto [b_begin, b_end] = range_of(b);
  return a_begin < b_end && b_begin < a_end;
}

}  // namespace edgedl
