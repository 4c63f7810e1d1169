#include "bindings/frame_difference.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "bindings/define.h"
#include "bindings/device_arrays.h"
#include "bindings/host_arrays.h"
#include "core/error.h"
#include "kernels/frame_difference.h"

namespace py = pybind11;

namespace edgedl {
namespace {

// A picture whose rows may be padded, and whose pixels may not.
ArrayView picture_of(Arrays& arrays, const py::object& pixels) {
  constexpr const char* kRule =
      "pixels must be uint8, (H, W) or (H, W, C) with C in 1..3, without gaps in a row";
  const ArrayView view = arrays.view(kRule, pixels);
  const py::ssize_t channels = view.ndim == 3 ? view.shape[2] : 1;
  require(view.is_uint8() && (view.ndim == 2 || view.ndim == 3) && channels >= 1 && channels <= 3,
          arrays.operation(), kRule, "; got ", view);
  const bool is_dense = view.strides[1] == channels && (view.ndim == 2 || view.strides[2] == 1);
  require(is_dense, arrays.operation(), kRule, "; got strides ", strides_of(view));
  require(std::max(view.shape[0], view.shape[1]) <= 1 << 15, arrays.operation(),
          "sides must be at most 32768; got ", view);
  return view;
}

FrameDifference job_of(const Arrays& arrays, const ArrayView& picture, int box,
                       const std::array<int, 3>& weights, int threshold, int dilate) {
  const py::ssize_t height = picture.shape[0], width = picture.shape[1];
  require(box >= 1 && box <= std::min<py::ssize_t>({kLongestBox, height, width}),
          arrays.operation(), "box must be in 1..", kLongestBox, " and fit the picture; got ", box,
          " for ", picture);
  require(threshold >= 0 && threshold <= 255, arrays.operation(),
          "threshold must be in 0..255; got ", threshold);
  require(dilate >= 0 && dilate <= 64, arrays.operation(), "dilate must be in 0..64; got ", dilate);
  FrameDifference job{static_cast<int>(height),
                      static_cast<int>(width),
                      picture.ndim == 3 ? static_cast<int>(picture.shape[2]) : 1,
                      box,
                      {},
                      threshold,
                      dilate,
                      picture.strides[0]};
  int total = 0;
  for (int c = 0; c < job.channels; ++c) {
    require(weights[c] >= 0 && weights[c] <= 1 << 15, arrays.operation(),
            "weights must be in 0..32768; got ", weights[c]);
    total += job.weights[c] = weights[c];
  }
  require(total == 1 << 15, arrays.operation(), "weights must add up to 32768; got ", total);
  return job;
}

// None is a view at address 0.
ArrayView previous_of(Arrays& arrays, const py::object& previous, const FrameDifference& job) {
  if (previous.is_none()) return {};
  return arrays.packed("previous must be a contiguous uint8 array of the reduced picture's shape",
                       previous, "uint8", {job.height / job.box, job.width / job.box});
}

py::tuple run(const py::object& pixels, const py::object& previous, int box,
              const std::array<int, 3>& weights, int threshold, int dilate, int emulated_order) {
  HostArrays arrays("frame_difference", "edgedl.stream.motion_cuda.CudaFrameDifference");
  const ArrayView picture = picture_of(arrays, pixels);
  const FrameDifference job = job_of(arrays, picture, box, weights, threshold, dilate);
  const ArrayView before = previous_of(arrays, previous, job);
  const py::ssize_t h = job.height / box, w = job.width / box;
  py::array_t<std::uint8_t> blurred({h, w}), changed({h, w});
  std::uint8_t *now = blurred.mutable_data(), *differs = changed.mutable_data();
  {
    const py::gil_scoped_release unlocked;
    if (emulated_order < 0) {
      frame_difference_cpu(job, picture.data, before.data, now, differs);
    } else {
      frame_difference_emulated(job, picture.data, before.data, now, differs, emulated_order);
    }
  }
  return py::make_tuple(blurred, changed);
}

void run_cuda(const py::object& pixels, const py::object& previous, const py::object& blurred,
              const py::object& changed, const py::object& workspace, int box,
              const std::array<int, 3>& weights, int threshold, int dilate, std::uintptr_t stream) {
  DeviceArrays arrays("frame_difference_cuda", stream);
  const ArrayView picture = picture_of(arrays, pixels);
  const FrameDifference job = job_of(arrays, picture, box, weights, threshold, dilate);
  const ArrayView before = previous_of(arrays, previous, job);
  const py::ssize_t h = job.height / box, w = job.width / box;
  constexpr const char* kRule =
      "out must be contiguous, writable uint8 arrays of the reduced picture's shape";
  const ArrayView now = arrays.packed_out(kRule, blurred, "uint8", {h, w});
  const ArrayView differs = arrays.packed_out(kRule, changed, "uint8", {h, w});
  const ArrayView space = arrays.workspace(workspace, static_cast<std::size_t>(2 * h * w));
  arrays.require_all_apart({picture, before}, {now, differs, space});
  const py::gil_scoped_release unlocked;
  frame_difference_cuda(job, picture.data, before.data, now.data, differs.data, space.data,
                        arrays.stream());
}

}  // namespace

void bind_frame_difference(py::module_& m) {
  define(m, "frame_difference", &run, py::arg("pixels"), py::arg("previous"), py::arg("box"),
         py::arg("weights"), py::arg("threshold"), py::arg("dilate"),
         py::arg("emulated_order") = -1);
  define(m, "frame_difference_cuda", &run_cuda, py::arg("pixels"), py::arg("previous"),
         py::arg("blurred"), py::arg("changed"), py::arg("workspace"), py::arg("box"),
         py::arg("weights"), py::arg("threshold"), py::arg("dilate"), py::arg("stream"));
}

}  // namespace edgedl
