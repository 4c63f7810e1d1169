// What the CUDA threads of preprocess do. A block makes a tile of the tensor in three phases:
//   0. where each column and each row of the tile reads the source, and with which weights;
//   1. the tile as bytes, in the order of the tensor; neighbouring threads make neighbouring
//      pixels, so that what a warp reads lies together;
//   2. the tile in the tensor's type, 16 bytes at a time.
#pragma once

#include <type_traits>

#include "core/grid.h"
#include "core/words.h"
#include "kernels/preprocess_math.h"

namespace edgedl {

// ---- how source pixels are read, for each family of formats
// --------------------------------------

// bgr8, rgb8.
class PackedPixels {
 public:
  struct Row {
    const std::uint8_t* begin;
    const std::uint8_t* end;
  };

  EDGEDL_HD PackedPixels(const PreprocessPlan& plan, const Plane* planes, const Placement& at,
                         int width, int /*height*/)
      : plane_(planes[0]),
        at_(at),
        width_(width),
        red_(plan.source_format == SourceFormat::kRgb8 ? 0 : 2) {}

  EDGEDL_HD Row row(int y) const {
    const std::uint8_t* begin = math::row_of(plane_, at_.crop_y + y);
    return {begin, begin + 3 * width_};
  }

  EDGEDL_HD math::Rgb pixel(const Row& row, int x) const {
    const std::uint8_t* p = row.begin + 3 * (at_.crop_x + x);
    return {p[red_], p[1], p[2 - red_]};
  }

  // Pixels x0 and x1, which is x0 or its neighbour: six bytes out of aligned words where the row
  // has them, because a warp's requests count and not its bytes.
  EDGEDL_HD void pair(const Row& row, int x0, int x1, math::Rgb* p) const {
    const std::uint8_t* at = row.begin + 3 * (at_.crop_x + x0);
    const std::size_t skipped = reinterpret_cast<std::uintptr_t>(at) & 3;
    const std::uint8_t* words = at - skipped;
    if (x1 == x0 || words < row.begin || words + 12 > row.end) {
      p[0] = pixel(row, x0);
      p[1] = pixel(row, x1);
      return;
    }
    const std::uint32_t first = load_aligned<std::uint32_t>(words);
    const std::uint32_t second = load_aligned<std::uint32_t>(words + 4);
    const std::uint32_t third = skipped == 3 ? load_aligned<std::uint32_t>(words + 8) : 0;
    const std::uint32_t low = shifted(first, second, skipped);
    const std::uint32_t high = shifted(second, third, skipped);
    p[0] = rgb(low);
    p[1] = rgb(shifted(low, high, 3));
  }

 private:
  static EDGEDL_HD std::uint32_t shifted(std::uint32_t low, std::uint32_t high, std::size_t bytes) {
    const std::uint64_t both = static_cast<std::uint64_t>(high) << 32 | low;
    return static_cast<std::uint32_t>(both >> (8 * bytes));
  }
  EDGEDL_HD math::Rgb rgb(std::uint32_t bytes) const {
    return {byte_of(bytes, red_), byte_of(bytes, 1), byte_of(bytes, 2 - red_)};
  }

  const Plane& plane_;
  const Placement& at_;
  int width_;
  int red_;
};

class GrayPixels {
 public:
  using Row = const std::uint8_t*;

  EDGEDL_HD GrayPixels(const PreprocessPlan&, const Plane* planes, const Placement& at, int, int)
      : plane_(planes[0]), at_(at) {}

  EDGEDL_HD Row row(int y) const { return math::row_of(plane_, at_.crop_y + y) + at_.crop_x; }
  EDGEDL_HD math::Rgb pixel(Row row, int x) const { return {row[x], row[x], row[x]}; }
  EDGEDL_HD void pair(Row row, int x0, int x1, math::Rgb* p) const {
    p[0] = pixel(row, x0);
    p[1] = pixel(row, x1);
  }

 private:
  const Plane& plane_;
  const Placement& at_;
};

// yuyv, nv12, i420.
class YuvPixels {
 public:
  struct Row {
    const std::uint8_t* y;
    const std::uint8_t* u;
    const std::uint8_t* v;
  };

  EDGEDL_HD YuvPixels(const PreprocessPlan& plan, const Plane* planes, const Placement& at, int,
                      int)
      : yuv_(plan.yuv), format_(plan.source_format), planes_(planes), at_(at) {}

  EDGEDL_HD Row row(int y) const {
    y += at_.crop_y;
    const std::uint8_t* luma = math::row_of(planes_[0], y);
    if (format_ == SourceFormat::kYuyv) return {luma, luma + 1, luma + 3};
    const std::uint8_t* u = math::row_of(planes_[1], y >> 1);
    if (format_ == SourceFormat::kNv12) return {luma, u, u + 1};
    return {luma, u, math::row_of(planes_[2], y >> 1)};
  }

  EDGEDL_HD math::Rgb pixel(const Row& row, int x) const {
    x += at_.crop_x;
    const int chroma = (x >> 1) * chroma_step();
    const int luma = x * (format_ == SourceFormat::kYuyv ? 2 : 1);
    return math::yuv_to_rgb(yuv_, row.y[luma], row.u[chroma], row.v[chroma]);
  }
  EDGEDL_HD void pair(const Row& row, int x0, int x1, math::Rgb* p) const {
    p[0] = pixel(row, x0);
    p[1] = pixel(row, x1);
  }

 private:
  EDGEDL_HD int chroma_step() const {
    return format_ == SourceFormat::kYuyv ? 4 : format_ == SourceFormat::kNv12 ? 2 : 1;
  }

  const YuvToRgb& yuv_;
  SourceFormat format_;
  const Plane* planes_;
  const Placement& at_;
};

// Any format, transposed or with its columns reversed.
class TurnedPixels {
 public:
  using Row = int;

  EDGEDL_HD TurnedPixels(const PreprocessPlan& plan, const Plane* planes, const Placement& at,
                         int width, int height)
      : plan_(plan),
        planes_(planes),
        at_(at),
        last_column_((plan.turn.transposed ? height : width) - 1) {}

  EDGEDL_HD Row row(int y) const { return at_.crop_y + y; }
  EDGEDL_HD math::Rgb pixel(Row y, int x) const {
    x += at_.crop_x;
    int column = plan_.turn.transposed ? y : x;
    if (plan_.turn.columns_reversed) column = last_column_ - column;
    const SourceFormat format = plan_.source_format;
    const math::Row row = math::row_at(format, planes_, plan_.turn.transposed ? x : y);
    return math::to_rgb(format, plan_.yuv, math::read(format, row, column));
  }
  EDGEDL_HD void pair(Row row, int x0, int x1, math::Rgb* p) const {
    p[0] = pixel(row, x0);
    p[1] = pixel(row, x1);
  }

 private:
  const PreprocessPlan& plan_;
  const Plane* planes_;
  const Placement& at_;
  int last_column_;
};

// ---- how a pixel of the picture in its new size comes from those it reads
// -------------------------

// Every method says what it keeps for a column and for a row (Taps), and makes three values.
// `channels` turns a source pixel into those of the tensor.

struct NearestMethod {
  using Taps = int;
  static EDGEDL_HD Taps taps(int i, const math::Axis& axis, bool /*across*/) {
    return math::nearest_index(i, axis);
  }
  template <class Pixels, class Channels>
  static EDGEDL_HD void make(const Pixels& pixels, Channels channels, const math::Axis*, Taps x,
                             Taps y, int* value) {
    channels(pixels.pixel(pixels.row(y), x), value);
  }
};

template <bool EnlargingArea>
struct LinearMethod {
  using Taps = math::LinearTaps;
  static EDGEDL_HD Taps taps(int i, const math::Axis& axis, bool across) {
    return math::linear_taps(i, axis, EnlargingArea, across);
  }
  template <class Pixels, class Channels>
  static EDGEDL_HD void make(const Pixels& pixels, Channels channels, const math::Axis*,
                             const Taps& x, const Taps& y, int* value) {
    math::Rgb p[4];
    pixels.pair(pixels.row(y.index0), x.index0, x.index1, p);
    pixels.pair(pixels.row(y.index1), x.index0, x.index1, p + 2);
    int corner[4][3];
    for (int i = 0; i < 4; ++i) channels(p[i], corner[i]);
    for (int c = 0; c < 3; ++c) {
      const std::int16_t above =
          math::linear_across(corner[0][c], corner[1][c], x.weight0, x.weight1);
      const std::int16_t below =
          math::linear_across(corner[2][c], corner[3][c], x.weight0, x.weight1);
      value[c] = math::linear_down(above, below, y.weight0, y.weight1);
    }
  }
};

struct BoxMethod {
  using Taps = int;
  static EDGEDL_HD Taps taps(int i, const math::Axis& axis, bool /*across*/) {
    return i * (axis.source / axis.target);
  }
  template <class Pixels, class Channels>
  static EDGEDL_HD void make(const Pixels& pixels, Channels channels, const math::Axis* axes,
                             Taps x, Taps y, int* value) {
    const int box_width = axes[0].source / axes[0].target;
    const int box_height = axes[1].source / axes[1].target;
    std::int64_t sum[3] = {};
    for (int j = 0; j < box_height; ++j) {
      const auto row = pixels.row(y + j);
      for (int i = 0; i < box_width; ++i) {
        int p[3];
        channels(pixels.pixel(row, x + i), p);
        for (int c = 0; c < 3; ++c) sum[c] += p[c];
      }
    }
    for (int c = 0; c < 3; ++c) {
      value[c] = math::box_mean(static_cast<float>(sum[c]), box_width, box_height);
    }
  }
};

struct AreaMethod {
  using Taps = math::AreaTaps;
  static EDGEDL_HD Taps taps(int i, const math::Axis& axis, bool /*across*/) {
    return math::area_taps(i, axis);
  }
  template <class Pixels, class Channels>
  static EDGEDL_HD void make(const Pixels& pixels, Channels channels, const math::Axis*,
                             const Taps& x, const Taps& y, int* value) {
    float sum[3] = {};
    for (int j = 0; j < y.count; ++j) {
      const auto row = pixels.row(y.first + j);
      float across[3] = {};
      for (int i = 0; i < x.count; ++i) {
        int p[3];
        channels(pixels.pixel(row, x.first + i), p);
        for (int c = 0; c < 3; ++c) {
          const float share = static_cast<float>(p[c]) * x.weight(i);
          across[c] = across[c] + share;
        }
      }
      for (int c = 0; c < 3; ++c) {
        const float share = across[c] * y.weight(j);
        sum[c] = sum[c] + share;
      }
    }
    for (int c = 0; c < 3; ++c) value[c] = math::area_round(sum[c]);
  }
};

// ---- the kernel --------------------------------------------------------------------------------

// One picture of a batch, and where it lies in its image of the tensor.
struct PreprocessFrame {
  Plane planes[3];
  int width, height;
  Placement at;
  math::Axis axes[2];  // across, down
};

// As many frames as fit into the 4 KiB that a launch carries.
constexpr int kFramesPerLaunch = 20;

template <class Pixels, class Method>
struct PreprocessGrid {
  PreprocessPlan plan;
  void* dst;
  int count;
  PreprocessFrame frames[kFramesPerLaunch];

  static constexpr int kTileWidth = 32;
  static constexpr int kTileHeight = 16;
  static constexpr int kThreads = 256;
  static constexpr int kPhases = 3;

  struct Shared {
    typename Method::Taps across[kTileWidth];
    typename Method::Taps down[kTileHeight];
    alignas(16) std::uint8_t bytes[3 * kTileHeight * kTileWidth];
  };

  Dim blocks() const {
    return {blocks_for(plan.width, kTileWidth), blocks_for(plan.height, kTileHeight), count};
  }
  Dim threads() const { return {kThreads, 1, 1}; }

  template <int Phase>
  EDGEDL_HD void phase(const Thread& thread, Shared& shared) const {
    if constexpr (Phase == 0) find_taps(thread, shared);
    if constexpr (Phase == 1) make_bytes(thread, shared);
    if constexpr (Phase == 2) write(thread, shared);
  }

 private:
  EDGEDL_HD static bool is_inside(int i, int size) { return i >= 0 && i < size; }

  EDGEDL_HD void find_taps(const Thread& thread, Shared& shared) const {
    const PreprocessFrame& frame = frames[thread.block.z];
    const int i = thread.at.x;
    if (i < kTileWidth) {
      const int x = thread.block.x * kTileWidth + i - frame.at.x;
      if (is_inside(x, frame.at.width)) shared.across[i] = Method::taps(x, frame.axes[0], true);
    } else if (i < kTileWidth + kTileHeight) {
      const int y = thread.block.y * kTileHeight + i - kTileWidth - frame.at.y;
      if (is_inside(y, frame.at.height)) {
        shared.down[i - kTileWidth] = Method::taps(y, frame.axes[1], false);
      }
    }
  }

  EDGEDL_HD void make_bytes(const Thread& thread, Shared& shared) const {
    const PreprocessFrame& frame = frames[thread.block.z];
    const Pixels pixels(plan, frame.planes, frame.at, frame.width, frame.height);
    const bool is_gray = plan.pixel_format == PixelFormat::kGray8;
    const auto channels = [is_gray](math::Rgb p, int* value) {
      value[0] = is_gray ? math::gray(p) : p.r;
      value[1] = p.g;
      value[2] = p.b;
    };
    const int column = thread.at.x % kTileWidth;
    const int x = thread.block.x * kTileWidth + column - frame.at.x;
    for (int row = thread.at.x / kTileWidth; row < kTileHeight; row += kThreads / kTileWidth) {
      const int y = thread.block.y * kTileHeight + row - frame.at.y;
      int value[3] = {plan.fill, plan.fill, plan.fill};
      if (is_inside(x, frame.at.width) && is_inside(y, frame.at.height)) {
        Method::make(pixels, channels, frame.axes, shared.across[column], shared.down[row], value);
      }
      keep(row * kTileWidth + column, value, shared);
    }
  }

  EDGEDL_HD void keep(int pixel, const int* value, Shared& shared) const {
    constexpr int kPixels = kTileHeight * kTileWidth;
    if (channels_of(plan) == 1) {
      shared.bytes[pixel] = static_cast<std::uint8_t>(value[0]);
      return;
    }
    const bool is_planar = plan.layout == Layout::kNchw;
    std::uint8_t* to = shared.bytes + (is_planar ? pixel : 3 * pixel);
    const int step = is_planar ? kPixels : 1;
    const bool is_bgr = plan.pixel_format == PixelFormat::kBgr8;
    to[0] = static_cast<std::uint8_t>(is_bgr ? value[2] : value[0]);
    to[step] = static_cast<std::uint8_t>(value[1]);
    to[2 * step] = static_cast<std::uint8_t>(is_bgr ? value[0] : value[2]);
  }

  EDGEDL_HD void write(const Thread& thread, const Shared& shared) const {
    switch (plan.dtype) {
      case DType::kFloat32:
        return write_as<float>(thread, shared);
      case DType::kFloat16:
        return write_as<std::uint16_t>(thread, shared);
      case DType::kUint8:
        return write_as<std::uint8_t>(thread, shared);
      case DType::kInt8:
        return write_as<std::int8_t>(thread, shared);
    }
  }

  template <class T>
  EDGEDL_HD void write_as(const Thread& thread, const Shared& shared) const {
    if (plan.layout == Layout::kNchw || channels_of(plan) == 1) {
      write_runs<T, 1>(thread, shared, channels_of(plan));
    } else {
      write_runs<T, 3>(thread, shared, 1);
    }
  }

  // `Together` channels of a pixel lie side by side, in `planes` planes.
  template <class T, int Together>
  EDGEDL_HD void write_runs(const Thread& thread, const Shared& shared, int planes) const {
    constexpr int kRun = 16 / sizeof(T);
    constexpr int kTileRow = kTileWidth * Together;
    constexpr int kRuns = kTileRow / kRun;
    const int left = thread.block.x * kTileRow;
    const int width = plan.width * Together;
    for (int i = thread.at.x; i < planes * kTileHeight * kRuns; i += kThreads) {
      const int first = i % kRuns * kRun;
      const int row = i / kRuns % kTileHeight;
      const int plane = i / (kRuns * kTileHeight);
      const int y = thread.block.y * kTileHeight + row;
      const int count = width - left - first;
      if (y >= plan.height || count <= 0) continue;
      const std::int64_t line =
          (static_cast<std::int64_t>(thread.block.z) * planes + plane) * plan.height + y;
      T* to = static_cast<T*>(dst) + line * width + left + first;
      const std::uint8_t* from = shared.bytes + i * kRun;
      write_run<T, Together>(from, plane, first, to, count);
    }
  }

  template <class T, int Together>
  EDGEDL_HD void write_run(const std::uint8_t* from, int plane, int first, T* to, int count) const {
    constexpr int kRun = 16 / sizeof(T);
    constexpr int kWords = kRun / 4;
    T run[kRun];
    for (int w = 0; w < kWords; ++w) {
      const std::uint32_t word = load_aligned<std::uint32_t>(from + 4 * w);
      for (int b = 0; b < 4; ++b) {
        const int i = 4 * w + b;
        run[i] = converted<T>(byte_of(word, b), Together == 1 ? plane : (first + i) % 3);
      }
    }
    if (count >= kRun && is_aligned(to, 16)) {
      Words words;
      memcpy(&words, run, 16);
      store_aligned(reinterpret_cast<std::uint8_t*>(to), words);
      return;
    }
    for (int i = 0; i < kRun; ++i) {
      if (i < count) to[i] = run[i];
    }
  }

  template <class T>
  EDGEDL_HD T converted(int value, int c) const {
    if constexpr (std::is_same<T, std::uint8_t>::value) {
      return static_cast<std::uint8_t>(value);
    } else {
      const float scale = c == 0 ? plan.scale[0] : c == 1 ? plan.scale[1] : plan.scale[2];
      const float bias = c == 0 ? plan.bias[0] : c == 1 ? plan.bias[1] : plan.bias[2];
      const float y = math::normalize(value, scale, bias);
      if constexpr (std::is_same<T, float>::value) return y;
      if constexpr (std::is_same<T, std::int8_t>::value) return math::to_int8(y);
      if constexpr (std::is_same<T, std::uint16_t>::value) return math::to_half(y);
    }
  }
};

// ---- the kernels that a batch takes
// ----------------------------------------------------------------

template <class Pixels, class Method, class Run>
void run_preprocess_grid(const PreprocessPlan& plan, const Picture* pictures, int count,
                         const Placement* places, void* dst, const Run& run) {
  PreprocessGrid<Pixels, Method> grid{plan, dst, count, {}};
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
      return run_preprocess_grid<Pixels, NearestMethod>(rest...);
    case math::Method::kLinear:
      return run_preprocess_grid<Pixels, LinearMethod<false>>(rest...);
    case math::Method::kLinearArea:
      return run_preprocess_grid<Pixels, LinearMethod<true>>(rest...);
    case math::Method::kBox:
      return run_preprocess_grid<Pixels, BoxMethod>(rest...);
    case math::Method::kArea:
      return run_preprocess_grid<Pixels, AreaMethod>(rest...);
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
