#include "bindings/pictures.h"

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>

#include "core/error.h"

namespace py = pybind11;

namespace edgedl {
namespace {

// A uint8 array whose rows are packed. `last` is the size of the innermost axis of a 3-axis array,
// or 0 for an array of 2 axes.
ArrayView rows_of(Arrays& arrays, const py::handle& value, const char* rule, py::ssize_t last) {
  const ArrayView array = arrays.view(rule, value);
  const bool fits = last == 0 ? array.ndim == 2 : array.ndim == 3 && array.shape[2] == last;
  require(array.is_uint8() && fits, arrays.operation(), rule, "; got ", array);
  require(array.shape[0] >= 1 && array.shape[0] <= kMaxSide * 3 / 2 && array.shape[1] >= 1 &&
              array.shape[1] <= kMaxSide,
          arrays.operation(), "sides must be in 1..", kMaxSide, " pixels; got ", array);
  const py::ssize_t pixel = last == 0 ? 1 : last;
  const bool packed =
      (array.shape[1] == 1 || array.strides[1] == pixel) && (last == 0 || array.strides[2] == 1);
  if (packed) return array;
  require(false, arrays.operation(),
          "pixels of a row must lie side by side (only rows may be padded); got strides ",
          strides_of(array), "; ", arrays.copy_hint());
  return array;
}

void add_plane(PictureView& view, const ArrayView& array) {
  view.picture.planes[view.count] = plane_of(array.data, array.strides[0]);
  view.planes[view.count++] = array;
}

// A view of the format and of the size of its first plane.
PictureView view_of(SourceFormat format, py::ssize_t height, const ArrayView& array) {
  PictureView view{};
  view.picture.format = format;
  view.picture.height = static_cast<int>(height);
  view.picture.width = static_cast<int>(array.shape[1]);
  add_plane(view, array);
  return view;
}

PictureView interleaved(Arrays& arrays, SourceFormat format, const py::handle& pixels,
                        const char* rule, py::ssize_t last) {
  const ArrayView array = rows_of(arrays, pixels, rule, last);
  return view_of(format, array.shape[0], array);
}

// (H·3/2, W): Y, then the chroma rows. Two chroma rows of I420 share one row of the array.
PictureView packed_yuv(Arrays& arrays, SourceFormat format, const py::handle& pixels) {
  const char* rule =
      "nv12 and i420 pixels must be one packed (H*3/2, W) uint8 array or a tuple of planes";
  const ArrayView array = rows_of(arrays, pixels, rule, 0);
  const py::ssize_t rows = array.shape[0];
  const py::ssize_t width = array.shape[1];
  const py::ssize_t stride = array.strides[0];
  require(rows % 3 == 0 && width % 2 == 0, arrays.operation(),
          "a packed nv12 or i420 array must have H*3/2 rows and an even width, with H even; got ",
          array);
  const py::ssize_t height = rows / 3 * 2;
  PictureView view = view_of(format, height, array);
  const std::uint8_t* chroma = array.data + height * stride;
  if (format == SourceFormat::kNv12) {
    view.picture.planes[1] = plane_of(chroma, stride);
    return view;
  }
  const py::ssize_t half = width / 2;
  view.picture.planes[1] = {chroma, half, stride};
  const py::ssize_t before = height / 2;  // chroma rows before V
  const std::uint8_t* v = chroma + before / 2 * stride + before % 2 * half;
  view.picture.planes[2] = {v, before % 2 == 0 ? half : stride - half, stride};
  return view;
}

void add_half_size(PictureView& view, const Arrays& arrays, const ArrayView& plane,
                   py::ssize_t bytes, const char* name) {
  const bool fits = plane.shape[0] * 2 == view.picture.height && plane.shape[1] == bytes;
  require(fits, arrays.operation(), "the ", name,
          " plane must have half as many rows and columns as Y (", view.picture.height, ", ",
          view.picture.width, "); got ", plane);
  add_plane(view, plane);
}

PictureView planes_yuv(Arrays& arrays, SourceFormat format, const py::tuple& pixels) {
  const std::size_t expected = format == SourceFormat::kNv12 ? 2 : 3;
  require(pixels.size() == expected, arrays.operation(), "a tuple of planes must have ", expected,
          expected == 2 ? " (Y, UV)" : " (Y, U, V)", "; got ", pixels.size());
  const ArrayView luma = rows_of(arrays, pixels[0], "the Y plane must be (H, W) uint8", 0);
  PictureView view = view_of(format, luma.shape[0], luma);
  const int width = view.picture.width;
  require(view.picture.height % 2 == 0 && width % 2 == 0, arrays.operation(),
          "height and width of nv12 and i420 must be even; got ", luma);
  if (format == SourceFormat::kNv12) {
    const char* rule = "the UV plane must be (H/2, W) or (H/2, W/2, 2) uint8";
    const bool pairs = arrays.view(rule, pixels[1]).ndim == 3;
    const ArrayView uv = rows_of(arrays, pixels[1], rule, pairs ? 2 : 0);
    add_half_size(view, arrays, uv, pairs ? width / 2 : width, "UV");
    return view;
  }
  add_half_size(view, arrays, rows_of(arrays, pixels[1], "the U plane must be (H/2, W/2) uint8", 0),
                width / 2, "U");
  add_half_size(view, arrays, rows_of(arrays, pixels[2], "the V plane must be (H/2, W/2) uint8", 0),
                width / 2, "V");
  return view;
}

}  // namespace

PictureView picture_of(Arrays& arrays, SourceFormat format, const py::handle& pixels) {
  switch (format) {
    case SourceFormat::kBgr8:
    case SourceFormat::kRgb8:
      return interleaved(arrays, format, pixels, "image must be (H, W, 3) uint8", 3);
    case SourceFormat::kGray8:
      return interleaved(arrays, format, pixels, "gray image must be (H, W) uint8", 0);
    case SourceFormat::kYuyv:
      return interleaved(arrays, format, pixels, "yuyv image must be (H, W, 2) uint8", 2);
    case SourceFormat::kNv12:
    case SourceFormat::kI420:
      break;
  }
  if (py::isinstance<py::tuple>(pixels)) {
    return planes_yuv(arrays, format, py::reinterpret_borrow<py::tuple>(pixels));
  }
  return packed_yuv(arrays, format, pixels);
}

std::vector<PictureView> pictures_of(Arrays& arrays, SourceFormat format, const py::handle& batch) {
  if (!py::isinstance<py::list>(batch)) return {picture_of(arrays, format, batch)};
  std::vector<PictureView> pictures;
  // a copy of the list: what reads an array may run Python, which may change it
  for (const py::handle& pixels : py::tuple(py::reinterpret_borrow<py::list>(batch))) {
    pictures.push_back(picture_of(arrays, format, pixels));
  }
  require(!pictures.empty(), arrays.operation(), "a batch must have pictures; got an empty list");
  return pictures;
}

void* tensor_out(Arrays& arrays, const PreprocessPlan& plan, const PictureView* pictures,
                 std::size_t count, const py::handle& out) {
  const char* dtype = plan.dtype == DType::kFloat32   ? "float32"
                      : plan.dtype == DType::kFloat16 ? "float16"
                      : plan.dtype == DType::kUint8   ? "uint8"
                                                      : "int8";
  const auto images = static_cast<py::ssize_t>(count);
  const py::ssize_t c = channels_of(plan);
  const bool planes = plan.layout == Layout::kNchw;
  const std::array<py::ssize_t, 3> image{
      planes ? c : plan.height, planes ? plan.height : plan.width, planes ? plan.width : c};
  char rule[128];
  std::snprintf(rule, sizeof rule,
                "out must be a writable, aligned, contiguous (%td, %td, %td, %td) %s array", images,
                image[0], image[1], image[2], dtype);
  const ArrayView view =
      arrays.packed_out(rule, out, dtype, {images, image[0], image[1], image[2]});
  for (std::size_t i = 0; i < count; ++i) {
    for (int p = 0; p < pictures[i].count; ++p) arrays.require_apart(pictures[i].planes[p], view);
  }
  return view.data;
}

}  // namespace edgedl
