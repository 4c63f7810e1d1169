#include "bindings/frame_difference.h"

#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "bindings/arrays.h"
#include "core/error.h"
#include "kernels/frame_difference.h"

namespace py = pybind11;

namespace edgedl {
namespace {

constexpr const char* kOperation = "frame_difference";

// A picture whose rows may be padded, and whose pixels may not.
py::array checked_picture(const py::object& value) {
  constexpr const char* kRule =
      "pixels must be uint8, (H, W) or (H, W, C) with C in 1..3, without gaps in a row";
  require(py::isinstance<py::array>(value), kOperation, kRule, "; got ", describe(value));
  py::array array = py::reinterpret_borrow<py::array>(value);
  const py::ssize_t axes = array.ndim();
  const py::ssize_t channels = axes == 3 ? array.shape(2) : 1;
  require(array.dtype().equal(py::dtype("uint8")) && (axes == 2 || axes == 3) && channels >= 1 &&
              channels <= 3,
          kOperation, kRule, "; got ", describe(value));
  const bool is_dense = array.strides(1) == channels && (axes == 2 || array.strides(2) == 1);
  require(is_dense, kOperation, kRule, "; got strides ",
          py::str(array.attr("strides")).cast<std::string>());
  return array;
}

py::tuple run(const py::object& pixels, const py::object& previous, int box,
              const std::array<int, 3>& weights, int threshold, int dilate, int emulated_order) {
  const py::array picture = checked_picture(pixels);
  const py::ssize_t height = picture.shape(0), width = picture.shape(1);
  const py::ssize_t shorter = std::min(height, width);
  require(std::max(height, width) <= 1 << 15, kOperation, "sides must be at most 32768; got ",
          describe(pixels));
  require(box >= 1 && box <= std::min<py::ssize_t>(kLongestBox, shorter), kOperation,
          "box must be in 1..", kLongestBox, " and fit the picture; got ", box, " for ",
          describe(pixels));
  require(threshold >= 0 && threshold <= 255, kOperation, "threshold must be in 0..255; got ",
          threshold);
  require(dilate >= 0 && dilate <= 64, kOperation, "dilate must be in 0..64; got ", dilate);
  FrameDifference job{static_cast<int>(height),
                      static_cast<int>(width),
                      picture.ndim() == 3 ? static_cast<int>(picture.shape(2)) : 1,
                      box,
                      {},
                      threshold,
                      dilate,
                      picture.strides(0)};
  int total = 0;
  for (int c = 0; c < job.channels; ++c) {
    require(weights[c] >= 0 && weights[c] <= 1 << 15, kOperation,
            "weights must be in 0..32768; got ", weights[c]);
    total += job.weights[c] = weights[c];
  }
  require(total == 1 << 15, kOperation, "weights must add up to 32768; got ", total);

  const py::ssize_t h = height / box, w = width / box;
  const std::uint8_t* before = nullptr;
  if (!previous.is_none()) {
    before = static_cast<const std::uint8_t*>(
        checked_array(kOperation,
                      "previous must be a contiguous uint8 array of the reduced picture's shape",
                      previous, "uint8", {h, w})
            .data());
  }
  py::array_t<std::uint8_t> blurred({h, w}), changed({h, w});
  const auto* src = static_cast<const std::uint8_t*>(picture.data());
  std::uint8_t *now = blurred.mutable_data(), *differs = changed.mutable_data();
  {
    const py::gil_scoped_release unlocked;
    if (emulated_order < 0) {
      frame_difference_cpu(job, src, before, now, differs);
    } else {
      frame_difference_emulated(job, src, before, now, differs, emulated_order);
    }
  }
  return py::make_tuple(blurred, changed);
}

}  // namespace

void bind_frame_difference(py::module_& m) {
  m.def("frame_difference", &run, py::arg("pixels"), py::arg("previous"), py::arg("box"),
        py::arg("weights"), py::arg("threshold"), py::arg("dilate"),
        py::arg("emulated_order") = -1);
}

}  // namespace edgedl
