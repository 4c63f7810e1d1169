// The GIL is released while pixels are processed.
#include "kernels/preprocess.h"

#include <pybind11/numpy.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bindings/define.h"
#include "bindings/device_arrays.h"
#include "bindings/host_arrays.h"
#include "bindings/pictures.h"
#include "bindings/preprocess.h"
#include "core/error.h"
#include "kernels/preprocess_tables.h"

namespace py = pybind11;

namespace edgedl {
namespace {

constexpr const char* kOperation = "preprocess";
constexpr const char* kGpuTwin = "edgedl.runtime.preprocess_cuda.CudaPreprocessor";

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
constexpr std::array<std::pair<const char*, DType>, 4> kDTypes{{{"float32", DType::kFloat32},
                                                                {"float16", DType::kFloat16},
                                                                {"uint8", DType::kUint8},
                                                                {"int8", DType::kInt8}}};
constexpr std::array<std::pair<const char*, Flip>, 3> kFlips{
    {{"none", Flip::kNone}, {"horizontal", Flip::kHorizontal}, {"vertical", Flip::kVertical}}};
constexpr std::array<std::pair<const char*, Matrix>, 2> kMatrices{
    {{"bt601", Matrix::kBt601}, {"bt709", Matrix::kBt709}}};
constexpr std::array<std::pair<const char*, Range>, 2> kRanges{
    {{"limited", Range::kLimited}, {"full", Range::kFull}}};

// The plan of one Preprocessor, which Python's threads share.
struct Plan : PreprocessPlan {
  static constexpr const char* kKind = "a PreprocessPlan";

  explicit Plan(const PreprocessPlan& plan) : PreprocessPlan(plan) {}

  PreprocessCache cache;
};

// An edgedl.spec.ImageSpec has checked sizes, fill, mean and std.
void require_image_spec(const py::object& spec) {
  const py::object type = py::module_::import("edgedl.spec").attr("ImageSpec");
  if (py::isinstance(spec, type)) return;
  require(false, kOperation, "spec must be an ImageSpec; got ", shown(spec));
}

std::unique_ptr<Plan> make_plan(const py::object& spec, const std::string& source_format,
                                const std::string& matrix, const std::string& range, int rotate,
                                const std::string& flip) {
  require_image_spec(spec);
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
  require(rotate == 0 || rotate == 90 || rotate == 180 || rotate == 270, kOperation,
          "rotate must be one of 0, 90, 180, 270; got ", rotate);
  plan.turn = turn_of(rotate, by_name("flip", flip, kFlips));
  const double step = spec.attr("scale").cast<double>();
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
    plan.scale[c] = static_cast<float>(1.0 / (255.0 * deviation[c] * step));
    plan.bias[c] = static_cast<float>(-mean[c] / (deviation[c] * step));
  }
  return std::make_unique<Plan>(plan);
}

Region region_from(const py::handle& value) {
  Argument<std::array<int, 4>> given(kOperation, "a region, (x, y, width, height),", value);
  const auto [x, y, width, height] = given.get();
  return {x, y, width, height};
}

// Calls launch(pictures, count, dst) without the GIL. `regions` is None, or a list of one region
// for each picture.
template <class Launch>
void run_batch(Arrays& arrays, const Plan& plan, const py::object& batch, const py::object& regions,
               const py::object& out, const Launch& launch) {
  const std::vector<PictureView> views = pictures_of(arrays, plan.source_format, batch);
  void* dst = tensor_out(arrays, plan, views.data(), views.size(), out);
  std::vector<Picture> pictures;
  for (const PictureView& view : views) pictures.push_back(view.picture);
  if (!regions.is_none()) {
    const py::ssize_t count = length_of(regions);
    if (count < 0) require(false, kOperation, "regions must be a list; got ", shown(regions));
    const bool may_fit = count == static_cast<py::ssize_t>(pictures.size());
    const py::tuple list = may_fit ? py::tuple(regions) : py::tuple();
    require(list.size() == pictures.size(), kOperation,
            "there must be one region for each picture; got ", count, " regions for ",
            pictures.size(), " pictures");
    for (std::size_t i = 0; i < pictures.size(); ++i) {
      pictures[i] = region_of(pictures[i], region_from(list[i]));
    }
  }
  const py::gil_scoped_release unlocked;
  launch(pictures.data(), static_cast<int>(pictures.size()), dst);
}

void run_cpu(Plan& plan, const py::object& batch, const py::object& out, const py::object& regions,
             int threads) {
  HostArrays arrays(kOperation, kGpuTwin);
  run_batch(arrays, plan, batch, regions, out, [&](const Picture* pictures, int count, void* dst) {
    preprocess_cpu(plan, plan.cache, pictures, count, dst, threads);
  });
}

void run_touch(const Plan& plan, const py::object& pixels, const py::object& out) {
  HostArrays arrays(kOperation, kGpuTwin);
  const PictureView view = picture_of(arrays, plan.source_format, pixels);
  void* dst = tensor_out(arrays, plan, &view, 1, out);
  const py::gil_scoped_release unlocked;
  preprocess_touch(plan, view.picture, dst);
}

void run_emulated(const Plan& plan, const py::object& batch, const py::object& out, int order,
                  const py::object& regions) {
  HostArrays arrays(kOperation, kGpuTwin);
  run_batch(arrays, plan, batch, regions, out, [&](const Picture* pictures, int count, void* dst) {
    preprocess_emulated(plan, pictures, count, dst, order);
  });
}

void run_cuda(const Plan& plan, const py::object& batch, const py::object& out,
              std::uintptr_t stream, const py::object& regions) {
  DeviceArrays arrays("preprocess_cuda", stream);
  run_batch(arrays, plan, batch, regions, out, [&](const Picture* pictures, int count, void* dst) {
    preprocess_cuda(plan, pictures, count, dst, arrays.stream());
  });
}

}  // namespace

void bind_preprocess(py::module_& m) {
  py::class_<Plan> plan(m, "PreprocessPlan");
  define_init(plan, kOperation, &make_plan, py::arg("spec"), py::arg("source_format"),
              py::arg("matrix"), py::arg("range"), py::arg("rotate") = 0, py::arg("flip") = "none");
  define(m, "preprocess_cpu", &run_cpu, py::arg("plan"), py::arg("pixels"), py::arg("out"),
         py::arg("regions") = py::none(), py::arg("threads") = 1);
  define(m, "preprocess_touch", &run_touch, py::arg("plan"), py::arg("pixels"), py::arg("out"));
  define(m, "preprocess_emulated", &run_emulated, py::arg("plan"), py::arg("pixels"),
         py::arg("out"), py::arg("order"), py::arg("regions") = py::none(),
         "The code of the CUDA kernels on the host: slow, for tests. A list is a batch.");
  define(m, "preprocess_cuda", &run_cuda, py::arg("plan"), py::arg("pixels"), py::arg("out"),
         py::arg("stream"), py::arg("regions") = py::none(),
         "Arrays on a GPU; a list is a batch. Not yet run on a GPU.");
  m.def("built_with_cuda", &built_with_cuda);
}

}  // namespace edgedl
