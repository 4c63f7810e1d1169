// What all CUDA kernels of preprocess share: a block makes a tile of the tensor, as bytes in shared
// memory in the order of the tensor, and writes it in the tensor's type, 16 bytes at a time.
#pragma once

#include <type_traits>

#include "core/grid.h"
#include "core/words.h"
#include "kernels/preprocess_math.h"

namespace edgedl {

// One picture of a batch, and where it lies in its image of the tensor.
struct PreprocessFrame {
  Plane planes[3];
  int width, height;
  Placement at;
  math::Axis axes[2];  // across, down
};

// As many frames as fit into the 4 KiB that a launch carries.
constexpr int kFramesPerLaunch = 20;

// The pixels of a tile that belong to the picture; the others get the fill.
struct TilePart {
  int left, right, top, bottom;
  EDGEDL_HD bool has_column(int column) const { return column >= left && column < right; }
  EDGEDL_HD bool has_row(int row) const { return row >= top && row < bottom; }
  EDGEDL_HD bool is_empty() const { return left >= right || top >= bottom; }
};

// The values of one pixel of the tensor out of a pixel of the source: the first one if it is gray.
struct TensorChannels {
  bool is_gray;
  EDGEDL_HD void operator()(math::Rgb p, int* value) const {
    value[0] = is_gray ? math::gray(p) : p.r;
    value[1] = p.g;
    value[2] = p.b;
  }
};

template <int TileHeight>
struct PreprocessTiles {
  PreprocessPlan plan;
  math::Method method;
  void* dst;
  int count;
  PreprocessFrame frames[kFramesPerLaunch];

  static constexpr int kTileWidth = 32;
  static constexpr int kTileHeight = TileHeight;
  static constexpr int kTilePixels = kTileWidth * kTileHeight;
  static constexpr int kThreads = 256;

  Dim blocks() const {
    return {blocks_for(plan.width, kTileWidth), blocks_for(plan.height, kTileHeight), count};
  }
  Dim threads() const { return {kThreads, 1, 1}; }

  EDGEDL_HD TensorChannels channels() const { return {plan.pixel_format == PixelFormat::kGray8}; }

  // Pixel of the resized picture that is the tile's first one.
  EDGEDL_HD int first_x(Dim block) const { return block.x * kTileWidth - frames[block.z].at.x; }
  EDGEDL_HD int first_y(Dim block) const { return block.y * kTileHeight - frames[block.z].at.y; }

  EDGEDL_HD TilePart part_of(Dim block) const {
    const Placement& at = frames[block.z].at;
    const int x = first_x(block), y = first_y(block);
    return {x < 0 ? -x : 0, at.width - x < kTileWidth ? at.width - x : kTileWidth, y < 0 ? -y : 0,
            at.height - y < kTileHeight ? at.height - y : kTileHeight};
  }

  // `pixel` counts within the tile, row by row.
  EDGEDL_HD void keep(int pixel, const int* value, std::uint8_t* bytes) const {
    if (channels_of(plan) == 1) {
      bytes[pixel] = static_cast<std::uint8_t>(value[0]);
      return;
    }
    const bool is_planar = plan.layout == Layout::kNchw;
    std::uint8_t* to = bytes + (is_planar ? pixel : 3 * pixel);
    const int step = is_planar ? kTilePixels : 1;
    const bool is_bgr = plan.pixel_format == PixelFormat::kBgr8;
    to[0] = static_cast<std::uint8_t>(is_bgr ? value[2] : value[0]);
    to[step] = static_cast<std::uint8_t>(value[1]);
    to[2 * step] = static_cast<std::uint8_t>(is_bgr ? value[0] : value[2]);
  }

  EDGEDL_HD void write(const Thread& thread, const std::uint8_t* bytes) const {
    switch (plan.dtype) {
      case DType::kFloat32:
        return write_as<float>(thread, bytes);
      case DType::kFloat16:
        return write_as<std::uint16_t>(thread, bytes);
      case DType::kUint8:
        return write_as<std::uint8_t>(thread, bytes);
      case DType::kInt8:
        return write_as<std::int8_t>(thread, bytes);
    }
  }

 private:
  // Of the values of a run: they take turns, or are all the same.
  struct Scales {
    float scale[3], bias[3];
  };

  // A run is what 16 bytes hold. The tile's rows consist of as many times kRunsAcross runs as
  // channels lie side by side.
  template <class T>
  EDGEDL_HD void write_as(const Thread& thread, const std::uint8_t* bytes) const {
    constexpr int kRun = 16 / sizeof(T);
    constexpr int kRunsAcross = kTileWidth / kRun;
    const bool is_mixed = plan.layout == Layout::kNhwc && channels_of(plan) == 3;
    const int together = is_mixed ? 3 : 1;
    const int planes = is_mixed ? 1 : channels_of(plan);
    const int left = thread.block.x * kTileWidth * together;
    const int width = plan.width * together;
    for (int i = thread.at.x; i < channels_of(plan) * kTileHeight * kRunsAcross; i += kThreads) {
      const int part = i / kRunsAcross;  // kTileWidth values
      const int first = (is_mixed ? part % 3 * kTileWidth : 0) + i % kRunsAcross * kRun;
      const int line = is_mixed ? part / 3 : part;
      const int plane = line / kTileHeight;
      const int y = thread.block.y * kTileHeight + line % kTileHeight;
      const int count = width - left - first;
      if (y >= plan.height || count <= 0) continue;
      const std::int64_t row =
          (static_cast<std::int64_t>(thread.block.z) * planes + plane) * plan.height + y;
      T* to = static_cast<T*>(dst) + row * width + left + first;
      write_run(bytes + i * kRun, scales_of(is_mixed ? first % 3 : plane, is_mixed), to, count);
    }
  }

  EDGEDL_HD Scales scales_of(int channel, bool is_mixed) const {
    Scales scales;
    for (int i = 0; i < 3; ++i) {
      const int c = is_mixed ? (channel + i) % 3 : channel;
      scales.scale[i] = plan.scale[c];
      scales.bias[i] = plan.bias[c];
    }
    return scales;
  }

  template <class T>
  EDGEDL_HD void write_run(const std::uint8_t* from, const Scales& scales, T* to, int count) const {
    constexpr int kRun = 16 / sizeof(T);
    T run[kRun];
    for (int w = 0; w < kRun / 4; ++w) {
      const std::uint32_t word = load_aligned<std::uint32_t>(from + 4 * w);
      for (int b = 0; b < 4; ++b) {
        const int i = 4 * w + b;
        run[i] = converted<T>(byte_of(word, b), scales.scale[i % 3], scales.bias[i % 3]);
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
  EDGEDL_HD static T converted(int value, float scale, float bias) {
    if constexpr (std::is_same<T, std::uint8_t>::value) {
      return static_cast<std::uint8_t>(value);
    } else {
      const float y = math::normalize(value, scale, bias);
      if constexpr (std::is_same<T, float>::value) return y;
      if constexpr (std::is_same<T, std::int8_t>::value) return math::to_int8(y);
      if constexpr (std::is_same<T, std::uint16_t>::value) return math::to_half(y);
    }
  }
};

}  // namespace edgedl
