// Without Python: every combination of options on exactly sized buffers, so that the sanitizers see
// any access outside them, by every target and by the CUDA kernels in every order of threads.
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/grid.h"
#include "kernels/preprocess.h"
#include "kernels/preprocess_tables.h"
#include "simd/targets.h"

namespace {

using namespace edgedl;

int failures = 0;

void expect(bool ok, const char* what, int height, int width) {
  if (ok) return;
  ++failures;
  std::printf("FAIL %s, source %d x %d, %s\n", what, height, width, active_target().name);
}

// A picture whose planes are separate allocations without a spare byte.
struct Pixels {
  std::vector<std::uint8_t> planes[3];
  Picture picture;

  void add(int index, int rows, int row_bytes) {
    auto& plane = planes[index];
    plane.resize(static_cast<std::size_t>(rows) * static_cast<std::size_t>(row_bytes));
    unsigned state = 12345u + static_cast<unsigned>(index);
    for (auto& value : plane) {
      state = state * 1664525u + 1013904223u;
      value = static_cast<std::uint8_t>(state >> 24);
    }
    picture.planes[index] = plane_of(plane.data(), row_bytes);
  }

  Pixels(SourceFormat format, int height, int width) : picture{format, height, width, {}} {
    const bool color = format == SourceFormat::kBgr8 || format == SourceFormat::kRgb8;
    add(0, height, width * (color ? 3 : format == SourceFormat::kYuyv ? 2 : 1));
    if (format == SourceFormat::kNv12) add(1, height / 2, width);
    if (format == SourceFormat::kI420) add(1, height / 2, width / 2);
    if (format == SourceFormat::kI420) add(2, height / 2, width / 2);
  }
};

// The right lower part of a picture.
Picture part_of(const Picture& picture) {
  const int x = picture.width / 4 * 2;
  const int y = picture.height / 4 * 2;
  return region_of(picture, {x, y, picture.width - x, picture.height - y});
}

// Three pictures as one batch: the second a little smaller, the third a region of the first.
void check(const PreprocessPlan& plan, int height, int width) {
  const Pixels pixels(plan.source_format, height, width);
  const Pixels other(plan.source_format, height > 2 ? height - 2 : height, width);
  const std::size_t image = bytes_of_image(plan);
  const Picture batch[] = {pixels.picture, other.picture, part_of(pixels.picture)};
  std::vector<std::uint8_t> by_cpu(3 * image);
  std::vector<std::uint8_t> by_threads(3 * image);
  preprocess_emulated(plan, batch, 3, by_threads.data(), 0);
  for (const CpuKernels* target : runnable_targets()) {
    set_active_target(target->name);
    std::fill(by_cpu.begin(), by_cpu.end(), std::uint8_t{0xa5});
    for (int i = 0; i < 3; ++i)
      preprocess_cpu(plan, batch[i], by_cpu.data() + static_cast<std::size_t>(i) * image);
    expect(by_cpu == by_threads, target->name, height, width);
  }
  for (int order = 1; order < kThreadOrders; ++order) {
    std::fill(by_threads.begin(), by_threads.end(), std::uint8_t{0x5a});
    preprocess_emulated(plan, batch, 3, by_threads.data(), order);
    expect(by_cpu == by_threads, "the CUDA kernels must agree", height, width);
  }
  PreprocessCache cache;
  std::fill(by_threads.begin(), by_threads.end(), std::uint8_t{0x5a});
  preprocess_cpu(plan, cache, batch, 3, by_threads.data(), 2);
  expect(by_cpu == by_threads, "threads must agree", height, width);
}

PreprocessPlan plan_of(int height, int width) {
  PreprocessPlan plan{};
  plan.height = height;
  plan.width = width;
  plan.fill = 114;
  plan.yuv = yuv_to_rgb_coefficients(Matrix::kBt601, Range::kLimited);
  for (int c = 0; c < 3; ++c) {
    plan.scale[c] = 0.017f;
    plan.bias[c] = -2.1f;
  }
  return plan;
}

// Pixels of YUV formats share their colour.
bool has_sides(SourceFormat format, int height, int width) {
  switch (format) {
    case SourceFormat::kBgr8:
    case SourceFormat::kRgb8:
    case SourceFormat::kGray8:
      return true;
    case SourceFormat::kYuyv:
      return width % 2 == 0;
    case SourceFormat::kNv12:
    case SourceFormat::kI420:
      break;
  }
  return width % 2 == 0 && height % 2 == 0;
}

// Each way to lie has its turn with many of the other options.
Turn next_turn() {
  static unsigned count = 0;
  ++count;
  return {count % 2 != 0, count / 2 % 2 != 0, count / 4 % 7 % 2 != 0};
}

void every_option(PreprocessPlan plan, int height, int width) {
  for (auto source : {SourceFormat::kBgr8, SourceFormat::kRgb8, SourceFormat::kGray8,
                      SourceFormat::kYuyv, SourceFormat::kNv12, SourceFormat::kI420}) {
    if (!has_sides(source, height, width)) continue;
    for (auto resize : {Resize::kBilinear, Resize::kArea, Resize::kNearest}) {
      for (auto fit : {Fit::kStretch, Fit::kLetterbox, Fit::kCrop}) {
        for (auto format : {PixelFormat::kRgb8, PixelFormat::kGray8}) {
          for (auto dtype : {DType::kFloat32, DType::kFloat16, DType::kUint8, DType::kInt8}) {
            plan.source_format = source;
            plan.resize = resize;
            plan.fit = fit;
            plan.pixel_format = format;
            plan.dtype = dtype;
            plan.turn = next_turn();
            plan.layout = dtype == DType::kUint8 ? Layout::kNhwc : Layout::kNchw;
            check(plan, height, width);
          }
        }
      }
    }
  }
}

void refused(const char* part, SourceFormat format, int height, int width) {
  PreprocessPlan plan = plan_of(4, 4);
  plan.source_format = format;
  std::vector<std::uint8_t> out(bytes_of_image(plan));
  const Picture picture{format, height, width, {}};
  try {
    preprocess_cpu(plan, picture, out.data());
    expect(false, "must be refused", height, width);
  } catch (const Error& error) {
    expect(std::strstr(error.what(), part) != nullptr, error.what(), height, width);
  }
}

}  // namespace

int main() {
  for (const auto& [height, width] :
       {std::pair{1, 1}, {3, 5}, {8, 8}, {13, 9}, {17, 64}, {5, 67}}) {
    for (const auto& [source_height, source_width] :
         {std::pair{2, 2}, {6, 4}, {16, 16}, {22, 38}, {50, 34}}) {
      every_option(plan_of(height, width), source_height, source_width);
    }
  }
  // rows of several vectors, whose pixels lie close together or far apart
  for (const auto& [source_height, source_width] :
       {std::pair{4, 22}, {6, 90}, {8, 260}, {10, 700}, {7, 69}, {5, 71}, {9, 333}}) {
    every_option(plan_of(5, 70), source_height, source_width);
  }
  refused("sides must be in 1..8192 pixels; got height 0, width 4", SourceFormat::kBgr8, 0, 4);
  refused("got height 4, width 8193", SourceFormat::kBgr8, 4, 8193);
  refused("width must be even", SourceFormat::kYuyv, 4, 5);
  refused("height must be even", SourceFormat::kNv12, 5, 4);
  std::printf("%s: %d failures\n", failures == 0 ? "ok" : "FAILED", failures);
  return failures == 0 ? 0 : 1;
}
