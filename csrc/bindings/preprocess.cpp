// NumPy arrays in, checked; the GIL is released while pixels are processed.
#include "kernels/preprocess.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/preprocess.h"
#include "core/error.h"
#include "kernels/preprocess_tables.h"

namespace py = pybind11;

namespace edgedl {
namespace {

constexpr const char* kOperation = "preprocess";

template <class T, std::size_t N>
T by_name(const char* what, const std::string& name,
          const std::array<std::pair<const char*, T>, N>& table) {
  std::string known;
  for (const auto& [key, value] : table) {
    if (name == key) return value;
    known += (known.empty() ? "" : ", ") + std::string(key);
  }
  require(false, kOperation, what, " must be one of ", known, "; got '", name, "'");
  return table[0].second;
}

using Entry = std::pair<const char*, SourceFormat>;
constexpr std::array<Entry, 6> kSourceFormats{{{"bgr8", SourceFormat::kBgr8},
                                               {"rgb8", SourceFormat::kRgb8},
                                               {"gray8", SourceFormat::kGray8},
                                               {"yuyv", SourceFormat::kYuyv},
                                               {"nv12", SourceFormat::kNv12},
                                               {"i420", SourceFormat::kI420}}};
constexpr std::array<std::pair<const char*, Resize>, 3> kResizes{
    {{"bilinear", Resize::kBilinear}, {"area", Resize::kArea}, {"nearest", Resize::kNearest}}};
constexpr std::array<std::pair<const char*, Fit>, 3> kFits{
    {{"stretch", Fit::kStretch}, {"letterbox", Fit::kLetterbox}, {"crop", Fit::kCrop}}};
constexpr std::array<std::pair<const char*, PixelFormat>, 3> kPixelFormats{
    {{"rgb8", PixelFormat::kRgb8}, {"bgr8", PixelFormat::kBgr8}, {"gray8", PixelFormat::kGray8}}};
constexpr std::array<std::pair<const char*, Layout>, 2> kLayouts{
    {{"NCHW", Layout::kNchw}, {"NHWC", Layout::kNhwc}}};
constexpr std::array<std::pair<const char*, DType>, 3> kDTypes{
    {{"float32", DType::kFloat32}, {"float16", DType::kFloat16}, {"uint8", DType::kUint8}}};
constexpr std::array<std::pair<const char*, Matrix>, 2> kMatrices{
    {{"bt601", Matrix::kBt601}, {"bt709", Matrix::kBt709}}};
constexpr std::array<std::pair<const char*, Range>, 2> kRanges{
    {{"limited", Range::kLimited}, {"full", Range::kFull}}};

// The plan of one Preprocessor, which Python's threads share.
struct Plan : PreprocessPlan {
  explicit Plan(const PreprocessPlan& plan) : PreprocessPlan(plan) {}

  PreprocessCache cache;
};

// `spec` is an edgedl.spec.ImageSpec, which has checked sizes, fill, mean and std.
PreprocessPlan make_plan(const py::object& spec, const std::string& source_format,
                         const std::string& matrix, const std::string& range) {
  const auto text = [&](const char* name) { return spec.attr(name).cast<std::string>(); };
  PreprocessPlan plan{};
  const auto [height, width] = spec.attr("size_hw").cast<std::pair<int, int>>();
  plan.height = height;
  plan.width = width;
  plan.resize = by_name("resize", text("resize"), kResizes);
  plan.fit = by_name("fit", text("fit"), kFits);
  plan.fill = spec.attr("fill").cast<int>();
  plan.pixel_format = by_name("pixel_format", text("pixel_format"), kPixelFormats);
  plan.layout = by_name("layout", text("layout"), kLayouts);
  plan.dtype = by_name("dtype of a picture", text("dtype"), kDTypes);
  plan.source_format = by_name("source_format", source_format, kSourceFormats);
  plan.yuv = yuv_to_rgb_coefficients(by_name("matrix", matrix, kMatrices),
                                     by_name("range", range, kRanges));
  const auto mean = spec.attr("mean").cast<std::vector<double>>();
  const auto deviation = spec.attr("std").cast<std::vector<double>>();
  const std::size_t channels = static_cast<std::size_t>(channels_of(plan));
  require(mean.size() == channels && deviation.size() == channels, kOperation,
          "mean and std must have ", channels, " values; got ", mean.size(), " and ",
          deviation.size());
  for (std::size_t c = 0; c < channels; ++c) {
    require(plan.dtype != DType::kUint8 || (mean[c] == 0.0 && deviation[c] == 1.0), kOperation,
            "mean must be 0 and std 1 for a uint8 tensor; got mean ", mean[c], ", std ",
            deviation[c]);
    plan.scale[c] = static_cast<float>(1.0 / (255.0 * deviation[c]));
    plan.bias[c] = static_cast<float>(-mean[c] / deviation[c]);
  }
  return plan;
}

// A uint8 array whose rows are packed. `last` is the size of the innermost axis of a 3-axis array,
// or 0 for an array of 2 axes.
py::array rows_of(const py::handle& value, const char* rule, py::ssize_t last) {
  const bool is_bytes = py::isinstance<py::array>(value) &&
                        py::reinterpret_borrow<py::array>(value).dtype().kind() == 'u' &&
                        py::reinterpret_borrow<py::array>(value).dtype().itemsize() == 1;
  require(is_bytes, kOperation, rule, "; got ", describe(value));
  py::array array = py::reinterpret_borrow<py::array>(value);
  const bool fits = last == 0 ? array.ndim() == 2 : array.ndim() == 3 && array.shape(2) == last;
  require(fits, kOperation, rule, "; got ", describe(value));
  require(array.shape(0) <= kMaxSide * 3 / 2 && array.shape(1) <= kMaxSide && array.size() > 0,
          kOperation, "sides must be in 1..", kMaxSide, " pixels; got ", describe(value));
  const py::ssize_t pixel = last == 0 ? 1 : last;
  const bool packed =
      (array.shape(1) == 1 || array.strides(1) == pixel) && (last == 0 || array.strides(2) == 1);
  require(packed, kOperation,
          "pixels of a row must lie side by side (only rows may be padded); got strides ",
          py::str(array.attr("strides")).cast<std::string>(),
          "; numpy.ascontiguousarray makes a copy that fits");
  return array;
}

const std::uint8_t* bytes_of(const py::array& array) {
  return static_cast<const std::uint8_t*>(array.data());
}

Plane plane_from(const py::array& array) {
  return plane_of(bytes_of(array), array.strides(0));
}

void set_size(Picture& picture, py::ssize_t height, py::ssize_t width) {
  picture.height = static_cast<int>(height);
  picture.width = static_cast<int>(width);
}

Picture interleaved(SourceFormat format, const py::handle& pixels, const char* rule,
                    py::ssize_t last) {
  const py::array array = rows_of(pixels, rule, last);
  Picture picture{format, 0, 0, {}};
  set_size(picture, array.shape(0), array.shape(1));
  picture.planes[0] = plane_from(array);
  return picture;
}

// (H·3/2, W): Y, then the chroma rows. Two chroma rows of I420 share one row of the array.
Picture packed_yuv(SourceFormat format, const py::handle& pixels) {
  const char* rule =
      "nv12 and i420 pixels must be one packed (H*3/2, W) uint8 array or a tuple of planes";
  const py::array array = rows_of(pixels, rule, 0);
  const py::ssize_t rows = array.shape(0);
  const py::ssize_t width = array.shape(1);
  const py::ssize_t stride = array.strides(0);
  require(rows % 3 == 0 && width % 2 == 0, kOperation,
          "a packed nv12 or i420 array must have H*3/2 rows and an even width, with H even; got ",
          describe(pixels));
  const py::ssize_t height = rows / 3 * 2;
  Picture picture{format, 0, 0, {}};
  set_size(picture, height, width);
  picture.planes[0] = plane_from(array);
  const std::uint8_t* chroma = bytes_of(array) + height * stride;
  if (format == SourceFormat::kNv12) {
    picture.planes[1] = plane_of(chroma, stride);
    return picture;
  }
  const py::ssize_t half = width / 2;
  picture.planes[1] = {chroma, half, stride};
  const py::ssize_t before = height / 2;  // chroma rows before V
  const std::uint8_t* v = chroma + before / 2 * stride + before % 2 * half;
  picture.planes[2] = {v, before % 2 == 0 ? half : stride - half, stride};
  return picture;
}

void require_half_size(const py::array& plane, const Picture& picture, py::ssize_t bytes,
                       const char* name) {
  const bool fits = plane.shape(0) * 2 == picture.height && plane.shape(1) == bytes;
  require(fits, kOperation, "the ", name, " plane must have half as many rows and columns as Y (",
          picture.height, ", ", picture.width, "); got ", describe(plane));
}

Picture planes_yuv(SourceFormat format, const py::tuple& pixels) {
  const std::size_t expected = format == SourceFormat::kNv12 ? 2 : 3;
  require(pixels.size() == expected, kOperation, "a tuple of planes must have ", expected,
          expected == 2 ? " (Y, UV)" : " (Y, U, V)", "; got ", pixels.size());
  const py::array luma = rows_of(pixels[0], "the Y plane must be (H, W) uint8", 0);
  Picture picture{format, 0, 0, {}};
  set_size(picture, luma.shape(0), luma.shape(1));
  picture.planes[0] = plane_from(luma);
  require(picture.height % 2 == 0 && picture.width % 2 == 0, kOperation,
          "height and width of nv12 and i420 must be even; got ", describe(luma));
  if (format == SourceFormat::kNv12) {
    const py::handle uv = pixels[1];
    const bool pairs =
        py::isinstance<py::array>(uv) && py::reinterpret_borrow<py::array>(uv).ndim() == 3;
    const py::array plane =
        rows_of(uv, "the UV plane must be (H/2, W) or (H/2, W/2, 2) uint8", pairs ? 2 : 0);
    require_half_size(plane, picture, pairs ? picture.width / 2 : picture.width, "UV");
    picture.planes[1] = plane_from(plane);
    return picture;
  }
  const py::array u = rows_of(pixels[1], "the U plane must be (H/2, W/2) uint8", 0);
  const py::array v = rows_of(pixels[2], "the V plane must be (H/2, W/2) uint8", 0);
  require_half_size(u, picture, picture.width / 2, "U");
  require_half_size(v, picture, picture.width / 2, "V");
  picture.planes[1] = plane_from(u);
  picture.planes[2] = plane_from(v);
  return picture;
}

// The arrays in `pixels` must outlive the result.
Picture picture_of(SourceFormat format, const py::handle& pixels) {
  switch (format) {
    case SourceFormat::kBgr8:
    case SourceFormat::kRgb8:
      return interleaved(format, pixels, "image must be (H, W, 3) uint8", 3);
    case SourceFormat::kGray8:
      return interleaved(format, pixels, "gray image must be (H, W) uint8", 0);
    case SourceFormat::kYuyv:
      return interleaved(format, pixels, "yuyv image must be (H, W, 2) uint8", 2);
    case SourceFormat::kNv12:
    case SourceFormat::kI420:
      break;
  }
  if (py::isinstance<py::tuple>(pixels)) {
    return planes_yuv(format, py::reinterpret_borrow<py::tuple>(pixels));
  }
  return packed_yuv(format, pixels);
}

void* tensor_out(const PreprocessPlan& plan, py::ssize_t images, const py::handle& out) {
  const char* dtype = plan.dtype == DType::kFloat32   ? "float32"
                      : plan.dtype == DType::kFloat16 ? "float16"
                                                      : "uint8";
  const py::ssize_t c = channels_of(plan);
  const bool planes = plan.layout == Layout::kNchw;
  const std::array<py::ssize_t, 4> shape{
      images, planes ? c : plan.height, planes ? plan.height : plan.width, planes ? plan.width : c};
  bool fits = py::isinstance<py::array>(out);
  if (fits) {
    const py::array array = py::reinterpret_borrow<py::array>(out);
    fits = array.ndim() == 4 && array.dtype().equal(py::dtype(dtype)) && array.writeable() &&
           (array.flags() & py::array::c_style) != 0 &&
           (array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0;
    for (py::ssize_t i = 0; fits && i < 4; ++i) {
      fits = array.shape(i) == shape[static_cast<std::size_t>(i)];
    }
  }
  require(fits, kOperation, "out must be a writable, aligned, contiguous (", shape[0], ", ",
          shape[1], ", ", shape[2], ", ", shape[3], ") ", dtype, " array; got ", describe(out));
  return py::reinterpret_borrow<py::array>(out).mutable_data();
}

void on_cpu(Plan& plan, const Picture& picture, void* dst) {
  preprocess_cpu(plan, plan.cache, picture, dst);
}

void touch(Plan& plan, const Picture& picture, void* dst) {
  preprocess_touch(plan, picture, dst);
}

template <void (*launch)(Plan&, const Picture&, void*)>
void run(Plan& plan, const py::object& pixels, const py::object& out) {
  const Picture picture = picture_of(plan.source_format, pixels);
  void* dst = tensor_out(plan, 1, out);
  const py::gil_scoped_release unlocked;
  launch(plan, picture, dst);
}

// Pictures of a batch, which must outlive the result; a bare picture is a batch of one.
std::vector<Picture> pictures_of(SourceFormat format, const py::object& batch) {
  if (!py::isinstance<py::list>(batch)) return {picture_of(format, batch)};
  std::vector<Picture> pictures;
  for (const py::handle& pixels : batch) pictures.push_back(picture_of(format, pixels));
  return pictures;
}

void run_emulated(const Plan& plan, const py::object& batch, const py::object& out, int order) {
  const std::vector<Picture> pictures = pictures_of(plan.source_format, batch);
  void* dst = tensor_out(plan, static_cast<py::ssize_t>(pictures.size()), out);
  const py::gil_scoped_release unlocked;
  preprocess_emulated(plan, pictures.data(), static_cast<int>(pictures.size()), dst, order);
}

void run_cuda(const Plan& plan, std::pair<int, int> size_hw,
              const std::vector<std::pair<std::uintptr_t, std::ptrdiff_t>>& planes,
              std::uintptr_t out, std::uintptr_t stream) {
  const std::size_t expected = plan.source_format == SourceFormat::kNv12   ? 2
                               : plan.source_format == SourceFormat::kI420 ? 3
                                                                           : 1;
  require(planes.size() == expected, "preprocess_cuda", "there must be ", expected, " planes; got ",
          planes.size());
  Picture picture{plan.source_format, size_hw.first, size_hw.second, {}};
  for (std::size_t i = 0; i < planes.size(); ++i) {
    const auto [address, stride_bytes] = planes[i];
    picture.planes[i] = plane_of(reinterpret_cast<const std::uint8_t*>(address), stride_bytes);
  }
  const py::gil_scoped_release unlocked;
  preprocess_cuda(plan, &picture, 1, reinterpret_cast<void*>(out),
                  reinterpret_cast<CUstream_st*>(stream));
}

}  // namespace

void bind_preprocess(py::module_& m) {
  py::class_<Plan>(m, "PreprocessPlan")
      .def(py::init([](const py::object& spec, const std::string& source_format,
                       const std::string& matrix, const std::string& range) {
             return std::make_unique<Plan>(make_plan(spec, source_format, matrix, range));
           }),
           py::arg("spec"), py::arg("source_format"), py::arg("matrix"), py::arg("range"));
  m.def("preprocess_cpu", &run<&on_cpu>, py::arg("plan"), py::arg("pixels"), py::arg("out"));
  m.def("preprocess_touch", &run<&touch>, py::arg("plan"), py::arg("pixels"), py::arg("out"));
  m.def("preprocess_emulated", &run_emulated, py::arg("plan"), py::arg("pixels"), py::arg("out"),
        py::arg("order"),
        "The code of the CUDA kernels on the host: slow, for tests. A list is a batch.");
  m.def("preprocess_cuda", &run_cuda, py::arg("plan"), py::arg("size_hw"), py::arg("planes"),
        py::arg("out"), py::arg("stream"),
        "Planes are (device address, stride in bytes). Not yet run on a GPU.");
  m.def("built_with_cuda", &built_with_cuda);
}

}  // namespace edgedl
