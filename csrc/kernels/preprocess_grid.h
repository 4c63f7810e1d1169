// The CUDA kernels that a batch takes. What differs from pixel to pixel is a kernel of its own;
// what is the same for a whole launch, such as the tensor's type, is a branch, because every kernel
// is compiled for every architecture.
#pragma once

#include "kernels/preprocess_average_grid.h"
#include "kernels/preprocess_pick_grid.h"

namespace edgedl {

template <class Grid, class Run>
void run_preprocess_grid(math::Method method, const PreprocessPlan& plan, const Picture* pictures,
                         int count, const Placement* places, void* dst, const Run& run) {
  Grid grid{};
  grid.plan = plan;
  grid.method = method;
  grid.dst = dst;
  grid.count = count;
  for (int i = 0; i < count; ++i) {
    const Placement& at = places[i];
    PreprocessFrame& frame = grid.frames[i];
    const Picture picture = turned(plan, pictures[i]);
    for (int p = 0; p < 3; ++p) frame.planes[p] = picture.planes[p];
    frame.width = picture.width;
    frame.height = picture.height;
    frame.at = at;
    frame.axes[0] = math::axis_of(at.crop_width, at.width);
    frame.axes[1] = math::axis_of(at.crop_height, at.height);
  }
  run(grid);
}

template <class Pixels, class... Rest>
void run_preprocess_method(math::Method method, const Rest&... rest) {
  switch (method) {
    case math::Method::kNearest:
      return run_preprocess_grid<PickGrid<Pixels, NearestMethod>>(method, rest...);
    case math::Method::kLinear:
    case math::Method::kLinearArea:
      return run_preprocess_grid<PickGrid<Pixels, LinearMethod>>(method, rest...);
    case math::Method::kBox:
    case math::Method::kArea:
      return run_preprocess_grid<AverageGrid<Pixels>>(method, rest...);
  }
}

template <class... Rest>
void run_preprocess_format(math::Method method, const PreprocessPlan& plan, const Rest&... rest) {
  if (plan.turn.transposed || plan.turn.columns_reversed) {
    return run_preprocess_method<TurnedPixels>(method, plan, rest...);
  }
  switch (plan.source_format) {
    case SourceFormat::kBgr8:
    case SourceFormat::kRgb8:
      return run_preprocess_method<PackedPixels>(method, plan, rest...);
    case SourceFormat::kGray8:
      return run_preprocess_method<GrayPixels>(method, plan, rest...);
    case SourceFormat::kYuyv:
    case SourceFormat::kNv12:
    case SourceFormat::kI420:
      return run_preprocess_method<YuvPixels>(method, plan, rest...);
  }
}

// Calls run(kernel) for each launch that the batch takes: as many pictures as fit into one, if the
// same method resizes them.
template <class Run>
void run_preprocess_grids(const PreprocessPlan& plan, const Picture* pictures, int count, void* dst,
                          const Run& run) {
  for (int i = 0; i < count; ++i) check_picture(plan, pictures[i]);
  std::uint8_t* to = static_cast<std::uint8_t*>(dst);
  while (count > 0) {
    Placement places[kFramesPerLaunch];
    math::Method method{};
    int taken = 0;
    for (; taken < count && taken < kFramesPerLaunch; ++taken) {
      const Picture picture = turned(plan, pictures[taken]);
      places[taken] = place(plan, picture.height, picture.width);
      const math::Method wanted = math::method_of(plan.resize, places[taken]);
      if (taken == 0) method = wanted;
      if (wanted != method) break;
    }
    run_preprocess_format(method, plan, pictures, taken, places, to, run);
    pictures += taken;
    count -= taken;
    to += taken * bytes_of_image(plan);
  }
}

}  // namespace edgedl
