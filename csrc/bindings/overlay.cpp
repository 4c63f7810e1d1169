#include "bindings/overlay.h"

#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <cstdlib>

#include "bindings/define.h"
#include "bindings/device_arrays.h"
#include "bindings/host_arrays.h"
#include "core/error.h"
#include "kernels/overlay.h"

namespace py = pybind11;

namespace edgedl {
namespace {

constexpr int kLongestSide = 1 << 15;

struct CanvasView {
  Canvas canvas;
  ArrayView array;
};

CanvasView canvas_of(Arrays& arrays, const py::object& picture) {
  constexpr const char* kRule =
      "picture must be a writable (H, W, 3) uint8 array without gaps in a row";
  const ArrayView view = arrays.view(kRule, picture);
  require(view.is_uint8() && view.ndim == 3 && view.shape[2] == 3, arrays.operation(), kRule,
          "; got ", view);
  require(view.shape[0] <= kLongestSide && view.shape[1] <= kLongestSide, arrays.operation(),
          "sides must be at most ", kLongestSide, "; got ", view);
  const bool is_dense = (view.shape[1] < 2 || view.strides[1] == 3) && view.strides[2] == 1;
  const bool is_apart = view.shape[0] < 2 || std::abs(view.strides[0]) >= 3 * view.shape[1];
  require(is_dense && is_apart, arrays.operation(), kRule, "; got strides ", strides_of(view), "; ",
          arrays.copy_hint());
  require(!view.is_read_only, arrays.operation(), kRule, "; got a read-only array");
  const Canvas canvas{view.data, static_cast<int>(view.shape[0]), static_cast<int>(view.shape[1]),
                      view.strides[0]};
  return {canvas, view};
}

void require_alpha(const Arrays& arrays, int alpha) {
  require(alpha >= 0 && alpha <= 255, arrays.operation(), "alpha must be in 0..255; got ", alpha);
}

template <class Job>
struct Drawing {
  Canvas canvas;
  Job job;
};

// `emulated_order` < 0 means the CPU's own code.
template <class Job>
void draw(const Drawing<Job>& drawing, int emulated_order) {
  const py::gil_scoped_release unlocked;
  if (drawing.canvas.height == 0 || drawing.canvas.width == 0) return;
  if (emulated_order < 0) {
    overlay_cpu(drawing.canvas, drawing.job);
  } else {
    overlay_emulated(drawing.canvas, drawing.job, emulated_order);
  }
}

template <class Job>
void draw_cuda(const Drawing<Job>& drawing, CUstream_st* stream) {
  const py::gil_scoped_release unlocked;
  if (drawing.canvas.height == 0 || drawing.canvas.width == 0) return;
  overlay_cuda(drawing.canvas, drawing.job, stream);
}

Drawing<OverlayBoxes> boxes_on(Arrays& arrays, const py::object& picture, const py::object& corners,
                               const py::object& colors, int thickness, int alpha) {
  const CanvasView to = canvas_of(arrays, picture);
  const ArrayView box =
      arrays.packed("boxes must be a contiguous (K, 4) int32 array", corners, "int32", {kAny, 4});
  require(box.shape[0] <= kLongestAxis, arrays.operation(), "boxes must be at most 2^30; got ",
          box);
  const ArrayView color =
      arrays.packed("colors must be a contiguous uint8 array with a row of 3 for each box", colors,
                    "uint8", {box.shape[0], 3});
  arrays.require_apart(box, to.array);
  arrays.require_apart(color, to.array);
  require(thickness >= 0, arrays.operation(), "thickness must be >= 0; got ", thickness);
  require_alpha(arrays, alpha);
  const OverlayBoxes job{static_cast<int>(box.shape[0]),
                         reinterpret_cast<const std::int32_t*>(box.data), color.data, thickness,
                         alpha};
  return {to.canvas, job};
}

void boxes(const py::object& picture, const py::object& corners, const py::object& colors,
           int thickness, int alpha, int emulated_order) {
  HostArrays arrays("overlay_boxes", "edgedl.runtime.draw_cuda.draw_boxes_cuda");
  draw(boxes_on(arrays, picture, corners, colors, thickness, alpha), emulated_order);
}

void boxes_cuda(const py::object& picture, const py::object& corners, const py::object& colors,
                int thickness, int alpha, std::uintptr_t stream) {
  DeviceArrays arrays("overlay_boxes_cuda", stream);
  draw_cuda(boxes_on(arrays, picture, corners, colors, thickness, alpha), arrays.stream());
}

Drawing<OverlayMask> mask_on(Arrays& arrays, const py::object& picture, const py::object& coverage,
                             std::array<int, 2> at_xy, const std::array<std::uint8_t, 3>& color,
                             int alpha) {
  const CanvasView to = canvas_of(arrays, picture);
  const ArrayView from = arrays.packed("mask must be a contiguous (h, w) uint8 array", coverage,
                                       "uint8", {kAny, kAny});
  require(from.shape[0] <= kLongestSide && from.shape[1] <= kLongestSide, arrays.operation(),
          "sides must be at most ", kLongestSide, "; got ", from);
  arrays.require_apart(from, to.array);
  require_alpha(arrays, alpha);
  const OverlayMask job{
      {at_xy[0], at_xy[1], static_cast<int>(from.shape[1]), static_cast<int>(from.shape[0])},
      from.data,
      {color[0], color[1], color[2]},
      alpha};
  return {to.canvas, job};
}

void mask(const py::object& picture, const py::object& coverage, std::array<int, 2> at_xy,
          const std::array<std::uint8_t, 3>& color, int alpha, int emulated_order) {
  HostArrays arrays("overlay_mask", "edgedl.runtime.draw_cuda.draw_mask_cuda");
  draw(mask_on(arrays, picture, coverage, at_xy, color, alpha), emulated_order);
}

void mask_cuda(const py::object& picture, const py::object& coverage, std::array<int, 2> at_xy,
               const std::array<std::uint8_t, 3>& color, int alpha, std::uintptr_t stream) {
  DeviceArrays arrays("overlay_mask_cuda", stream);
  draw_cuda(mask_on(arrays, picture, coverage, at_xy, color, alpha), arrays.stream());
}

Drawing<OverlayHeat> heat_on(Arrays& arrays, const py::object& picture, const py::object& values,
                             std::array<int, 4> xywh, const py::object& colors, int alpha) {
  const CanvasView to = canvas_of(arrays, picture);
  const ArrayView from = arrays.packed("heat must be a contiguous (h, w) float32 array", values,
                                       "float32", {kAny, kAny});
  require(from.shape[0] >= 1 && from.shape[1] >= 1 && from.shape[0] <= kLongestSide &&
              from.shape[1] <= kLongestSide,
          arrays.operation(), "sides of heat must be in 1..", kLongestSide, "; got ", from);
  const ArrayView table =
      arrays.packed("colors must be a contiguous (256, 3) uint8 array", colors, "uint8", {256, 3});
  arrays.require_apart(from, to.array);
  arrays.require_apart(table, to.array);
  const auto [x, y, width, height] = xywh;
  require(width >= 1 && height >= 1 && width <= kLongestSide && height <= kLongestSide,
          arrays.operation(), "the place must be 1 x 1 to ", kLongestSide, " x ", kLongestSide,
          " pixels; got ", width, " x ", height);
  require_alpha(arrays, alpha);
  const OverlayHeat job{{x, y, width, height},
                        static_cast<int>(from.shape[0]),
                        static_cast<int>(from.shape[1]),
                        reinterpret_cast<const float*>(from.data),
                        table.data,
                        alpha};
  return {to.canvas, job};
}

void heat(const py::object& picture, const py::object& values, std::array<int, 4> xywh,
          const py::object& colors, int alpha, int emulated_order) {
  HostArrays arrays("overlay_heat", "edgedl.runtime.draw_cuda.draw_heat_map_cuda");
  draw(heat_on(arrays, picture, values, xywh, colors, alpha), emulated_order);
}

void heat_cuda(const py::object& picture, const py::object& values, std::array<int, 4> xywh,
               const py::object& colors, int alpha, std::uintptr_t stream) {
  DeviceArrays arrays("overlay_heat_cuda", stream);
  draw_cuda(heat_on(arrays, picture, values, xywh, colors, alpha), arrays.stream());
}

}  // namespace

void bind_overlay(py::module_& m) {
  define(m, "overlay_boxes", &boxes, py::arg("picture"), py::arg("boxes"), py::arg("colors"),
         py::arg("thickness"), py::arg("alpha"), py::arg("emulated_order") = -1);
  define(m, "overlay_mask", &mask, py::arg("picture"), py::arg("mask"), py::arg("at_xy"),
         py::arg("color"), py::arg("alpha"), py::arg("emulated_order") = -1);
  define(m, "overlay_heat", &heat, py::arg("picture"), py::arg("heat"), py::arg("xywh"),
         py::arg("colors"), py::arg("alpha"), py::arg("emulated_order") = -1);
  define(m, "overlay_boxes_cuda", &boxes_cuda, py::arg("picture"), py::arg("boxes"),
         py::arg("colors"), py::arg("thickness"), py::arg("alpha"), py::arg("stream"));
  define(m, "overlay_mask_cuda", &mask_cuda, py::arg("picture"), py::arg("mask"), py::arg("at_xy"),
         py::arg("color"), py::arg("alpha"), py::arg("stream"));
  define(m, "overlay_heat_cuda", &heat_cuda, py::arg("picture"), py::arg("heat"), py::arg("xywh"),
         py::arg("colors"), py::arg("alpha"), py::arg("stream"));
}

}  // namespace edgedl
