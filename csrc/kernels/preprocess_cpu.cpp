// The host launcher: positions and weights are computed once per picture, then each row of the
// tensor is made as bytes, one plane per channel, and written in the tensor's type and order.
#include <algorithm>
#include <cstring>
#include <type_traits>
#include <vector>

#include "kernels/preprocess_math.h"

namespace edgedl {
namespace {

using Bytes = std::vector<std::uint8_t>;

std::size_t size_of(int count) {
  return static_cast<std::size_t>(count);
}

// Reads source pixels where they lie, with the formats known to the compiler.
template <SourceFormat Source, PixelFormat Target>
class DirectReader {
 public:
  static constexpr int kChannels = Target == PixelFormat::kGray8 ? 1 : 3;

  DirectReader(const PreprocessPlan& plan, const Picture& picture, const Placement& placement)
      : at(placement), yuv_(plan.yuv), picture_(picture) {}

  math::Row row(int y) const { return math::row_at(picture_, at.crop_y + y); }

  EDGEDL_HD void channels(const math::Row& row, int x, int* value) const {
    math::to_channels(Target, math::read(Source, yuv_, row, at.crop_x + x), value);
  }

  const Placement at;

 private:
  const YuvToRgb yuv_;
  const Picture& picture_;
};

// Two pixels at a time, which share their colour in every YUV format.
template <SourceFormat Source, PixelFormat Target>
void convert_pairs(const YuvToRgb& yuv, const math::Row& row, int begin, int end,
                   std::uint8_t* out) {
  constexpr int kChannels = DirectReader<Source, Target>::kChannels;
  const YuvToRgb k = yuv;  // a copy cannot change when out is written
  for (int pair = begin / 2; pair < end / 2; ++pair) {
    int value[2][3];
    math::to_channels(Target, math::read(Source, k, row, 2 * pair), value[0]);
    math::to_channels(Target, math::read(Source, k, row, 2 * pair + 1), value[1]);
    for (const auto& pixel : value) {
      for (int c = 0; c < kChannels; ++c) *out++ = static_cast<std::uint8_t>(pixel[c]);
    }
  }
}

// Converts whole rows of a YUV picture first: worth it where most pixels are read.
template <int Channels>
class ConvertingReader {
 public:
  static constexpr int kChannels = Channels;
  using Convert = void (*)(const YuvToRgb&, const math::Row&, int, int, std::uint8_t*);

  ConvertingReader(const PreprocessPlan& plan, const Picture& picture, const Placement& placement,
                   Convert convert)
      : at(placement),
        plan_(plan),
        picture_(picture),
        convert_(convert),
        begin_(placement.crop_x & ~1),
        end_((placement.crop_x + placement.crop_width + 1) & ~1),
        line_(size_of((end_ - begin_) * Channels)) {}

  // The row is good until the next call.
  const std::uint8_t* row(int y) const {
    convert_(plan_.yuv, math::row_at(picture_, at.crop_y + y), begin_, end_, line_.data());
    return line_.data() + (at.crop_x - begin_) * Channels;
  }

  EDGEDL_HD void channels(const std::uint8_t* row, int x, int* value) const {
    for (int c = 0; c < Channels; ++c) value[c] = row[x * Channels + c];
  }

  const Placement at;

 private:
  const PreprocessPlan& plan_;
  const Picture& picture_;
  Convert convert_;
  int begin_;
  int end_;
  mutable Bytes line_;
};

template <class R>
class NearestRows {
 public:
  explicit NearestRows(const R& reader) : reader_(reader), index_(size_of(reader.at.width)) {
    for (int x = 0; x < reader.at.width; ++x) {
      index_[size_of(x)] = math::nearest_index(x, reader.at.crop_width, reader.at.width);
    }
  }

  void make(int y, std::uint8_t* line) {
    const int width = reader_.at.width;
    const int source_y = math::nearest_index(y, reader_.at.crop_height, reader_.at.height);
    const auto row = reader_.row(source_y);
    for (int x = 0; x < width; ++x) {
      int value[3];
      reader_.channels(row, index_[size_of(x)], value);
      for (int c = 0; c < R::kChannels; ++c) {
        line[c * width + x] = static_cast<std::uint8_t>(value[c]);
      }
    }
  }

 private:
  const R& reader_;
  std::vector<int> index_;
};

template <class R>
class LinearRows {
 public:
  LinearRows(const R& reader, bool area) : reader_(reader), area_(area) {
    const int width = reader.at.width;
    taps_.reserve(size_of(width));
    for (int x = 0; x < width; ++x) {
      taps_.push_back(math::linear_taps(x, reader.at.crop_width, width, area, true));
    }
    for (auto& slot : across_) slot.resize(size_of(width * R::kChannels));
  }

  void make(int y, std::uint8_t* line) {
    const math::LinearTaps taps =
        math::linear_taps(y, reader_.at.crop_height, reader_.at.height, area_, false);
    const std::int16_t* above = across(taps.index0);
    const std::int16_t* below = taps.weight1 == 0 ? above : across(taps.index1);
    const std::int16_t weight0 = taps.weight0;
    const std::int16_t weight1 = taps.weight1;
    const int count = reader_.at.width * R::kChannels;
    for (int i = 0; i < count; ++i) {
      line[i] = static_cast<std::uint8_t>(math::linear_down(above[i], below[i], weight0, weight1));
    }
  }

 private:
  // The source row y interpolated across. Rows y and y + 1 sit in different slots and stay there
  // for the next row of the tensor.
  const std::int16_t* across(int y) {
    std::int16_t* out = across_[y & 1].data();
    if (held_[y & 1] == y) return out;
    held_[y & 1] = y;
    const auto row = reader_.row(y);
    const int width = reader_.at.width;
    const math::LinearTaps* taps = taps_.data();
    for (int x = 0; x < width; ++x) {
      int left[3];
      int right[3];
      reader_.channels(row, taps[x].index0, left);
      reader_.channels(row, taps[x].index1, right);
      for (int c = 0; c < R::kChannels; ++c) {
        out[c * width + x] =
            math::linear_across(left[c], right[c], taps[x].weight0, taps[x].weight1);
      }
    }
    return out;
  }

  const R& reader_;
  bool area_;
  std::vector<math::LinearTaps> taps_;
  std::vector<std::int16_t> across_[2];
  int held_[2] = {-1, -1};
};

template <class R>
class BoxRows {
 public:
  explicit BoxRows(const R& reader)
      : reader_(reader),
        box_width_(reader.at.crop_width / reader.at.width),
        box_height_(reader.at.crop_height / reader.at.height),
        sum_(size_of(reader.at.width * R::kChannels)) {}

  void make(int y, std::uint8_t* line) {
    std::fill(sum_.begin(), sum_.end(), 0);
    for (int j = 0; j < box_height_; ++j) add(reader_.row(y * box_height_ + j));
    for (std::size_t i = 0; i < sum_.size(); ++i) {
      line[i] = static_cast<std::uint8_t>(math::box_mean(sum_[i], box_width_, box_height_));
    }
  }

 private:
  template <class Row>
  void add(const Row& row) {
    const int width = reader_.at.width;
    for (int x = 0; x < width; ++x) {
      int sum[3] = {};
      for (int i = 0; i < box_width_; ++i) {
        int value[3];
        reader_.channels(row, x * box_width_ + i, value);
        for (int c = 0; c < R::kChannels; ++c) sum[c] += value[c];
      }
      for (int c = 0; c < R::kChannels; ++c) sum_[size_of(c * width + x)] += sum[c];
    }
  }

  const R& reader_;
  int box_width_;
  int box_height_;
  std::vector<int> sum_;
};

template <class R>
class AreaRows {
 public:
  explicit AreaRows(const R& reader)
      : reader_(reader),
        across_(size_of(reader.at.width * R::kChannels)),
        sum_(size_of(reader.at.width * R::kChannels)) {
    taps_.reserve(size_of(reader.at.width));
    for (int x = 0; x < reader.at.width; ++x) {
      taps_.push_back(math::area_taps(x, reader.at.crop_width, reader.at.width));
    }
  }

  void make(int y, std::uint8_t* line) {
    const math::AreaTaps taps = math::area_taps(y, reader_.at.crop_height, reader_.at.height);
    std::fill(sum_.begin(), sum_.end(), 0.0f);
    for (int j = 0; j < taps.count; ++j) {
      average_across(taps.first + j);
      const float weight = taps.weight(j);
      for (std::size_t i = 0; i < sum_.size(); ++i) {
        const float share = across_[i] * weight;
        sum_[i] = sum_[i] + share;
      }
    }
    for (std::size_t i = 0; i < sum_.size(); ++i) {
      line[i] = static_cast<std::uint8_t>(math::area_round(sum_[i]));
    }
  }

 private:
  void average_across(int y) {
    if (held_ == y) return;  // a row on the border of two cells is averaged once
    held_ = y;
    const auto row = reader_.row(y);
    const int width = reader_.at.width;
    for (int x = 0; x < width; ++x) {
      const math::AreaTaps taps = taps_[size_of(x)];
      float sum[3] = {};
      add(row, taps.first, taps.head, sum);
      for (int k = 1; k < taps.count - 1; ++k) add(row, taps.first + k, taps.inner, sum);
      if (taps.count > 1) add(row, taps.first + taps.count - 1, taps.tail, sum);
      for (int c = 0; c < R::kChannels; ++c) across_[size_of(c * width + x)] = sum[c];
    }
  }

  template <class Row>
  EDGEDL_HD void add(const Row& row, int x, float weight, float* sum) const {
    int value[3];
    reader_.channels(row, x, value);
    for (int c = 0; c < R::kChannels; ++c) {
      const float share = static_cast<float>(value[c]) * weight;
      sum[c] = sum[c] + share;
    }
  }

  const R& reader_;
  std::vector<math::AreaTaps> taps_;
  std::vector<float> across_;
  std::vector<float> sum_;
  int held_ = -1;
};

// Writes runs of one channel of one row of the tensor.
class Writer {
 public:
  Writer(const PreprocessPlan& plan, void* dst) : plan_(plan), dst_(dst) {
    const int channels = channels_of(plan);
    const bool planes = plan.layout == Layout::kNchw;
    pixel_step_ = planes ? 1 : channels;
    channel_step_ = planes ? static_cast<std::ptrdiff_t>(plan.height) * plan.width : 1;
    if (plan.dtype != DType::kFloat16) return;
    half_.resize(size_of(channels * 256));
    for (int i = 0; i < channels * 256; ++i) {
      half_[size_of(i)] =
          math::to_half(math::normalize(i % 256, plan.scale[i / 256], plan.bias[i / 256]));
    }
  }

  void write(int c, int y, int x, int count, const std::uint8_t* value) {
    const std::ptrdiff_t pixel = static_cast<std::ptrdiff_t>(y) * plan_.width + x;
    const std::ptrdiff_t at = c * channel_step_ + pixel * pixel_step_;
    switch (plan_.dtype) {
      case DType::kUint8:
        return write_to(static_cast<std::uint8_t*>(dst_) + at, count, value,
                        [](std::uint8_t v) { return v; });
      case DType::kFloat16:
        return write_to(static_cast<std::uint16_t*>(dst_) + at, count, value,
                        [table = half_.data() + 256 * c](std::uint8_t v) { return table[v]; });
      case DType::kFloat32:
        return write_to(static_cast<float*>(dst_) + at, count, value,
                        [scale = plan_.scale[c], bias = plan_.bias[c]](std::uint8_t v) {
                          return math::normalize(v, scale, bias);
                        });
    }
  }

 private:
  template <class T, class Convert>
  void write_to(T* dst, int count, const std::uint8_t* value, Convert convert) const {
    if (pixel_step_ == 1) {
      for (int i = 0; i < count; ++i) dst[i] = convert(value[i]);
    } else {
      for (int i = 0; i < count; ++i) dst[i * pixel_step_] = convert(value[i]);
    }
  }

  const PreprocessPlan& plan_;
  void* dst_;
  std::ptrdiff_t pixel_step_;
  std::ptrdiff_t channel_step_;
  std::vector<std::uint16_t> half_;
};

void write_padding(const PreprocessPlan& plan, const Placement& at, Writer& writer) {
  const Bytes fill(size_of(plan.width), static_cast<std::uint8_t>(plan.fill));
  const int right = at.x + at.width;
  for (int c = 0; c < channels_of(plan); ++c) {
    for (int y = 0; y < plan.height; ++y) {
      if (y < at.y || y >= at.y + at.height) {
        writer.write(c, y, 0, plan.width, fill.data());
      } else {
        writer.write(c, y, 0, at.x, fill.data());
        writer.write(c, y, right, plan.width - right, fill.data());
      }
    }
  }
}

template <class Rows>
void write_rows(Rows rows, int channels, const Placement& at, Writer& writer) {
  Bytes line(size_of(at.width * channels));
  for (int y = 0; y < at.height; ++y) {
    rows.make(y, line.data());
    for (int c = 0; c < channels; ++c) {
      writer.write(c, at.y + y, at.x, at.width, line.data() + c * at.width);
    }
  }
}

template <class R>
void resize_with(const R& reader, math::Method method, Writer& writer) {
  switch (method) {
    case math::Method::kNearest:
      return write_rows(NearestRows<R>(reader), R::kChannels, reader.at, writer);
    case math::Method::kLinear:
      return write_rows(LinearRows<R>(reader, false), R::kChannels, reader.at, writer);
    case math::Method::kLinearArea:
      return write_rows(LinearRows<R>(reader, true), R::kChannels, reader.at, writer);
    case math::Method::kBox:
      return write_rows(BoxRows<R>(reader), R::kChannels, reader.at, writer);
    case math::Method::kArea:
      return write_rows(AreaRows<R>(reader), R::kChannels, reader.at, writer);
  }
}

bool reads_most_pixels(math::Method method, const Placement& at) {
  return method == math::Method::kBox || method == math::Method::kArea ||
         (method != math::Method::kNearest && at.width * 2 >= at.crop_width);
}

template <SourceFormat Source, PixelFormat Target>
void resize(const PreprocessPlan& plan, const Picture& picture, const Placement& at,
            Writer& writer) {
  using Direct = DirectReader<Source, Target>;
  const math::Method method = math::method_of(plan.resize, at);
  if constexpr (Source == SourceFormat::kYuyv || Source == SourceFormat::kNv12 ||
                Source == SourceFormat::kI420) {
    if (reads_most_pixels(method, at)) {
      using Converting = ConvertingReader<Direct::kChannels>;
      const Converting reader(plan, picture, at, &convert_pairs<Source, Target>);
      return resize_with(reader, method, writer);
    }
  }
  resize_with(Direct(plan, picture, at), method, writer);
}

template <SourceFormat Source>
void resize_from(const PreprocessPlan& plan, const Picture& picture, const Placement& at,
                 Writer& writer) {
  switch (plan.pixel_format) {
    case PixelFormat::kRgb8:
      return resize<Source, PixelFormat::kRgb8>(plan, picture, at, writer);
    case PixelFormat::kBgr8:
      return resize<Source, PixelFormat::kBgr8>(plan, picture, at, writer);
    case PixelFormat::kGray8:
      return resize<Source, PixelFormat::kGray8>(plan, picture, at, writer);
  }
}

}  // namespace

void preprocess_cpu(const PreprocessPlan& plan, const Picture& picture, void* dst) {
  check_picture(plan, picture);
  const Placement at = place(plan, picture.height, picture.width);
  Writer writer(plan, dst);
  if (plan.fit == Fit::kLetterbox) write_padding(plan, at, writer);
  switch (picture.format) {
    case SourceFormat::kBgr8:
      return resize_from<SourceFormat::kBgr8>(plan, picture, at, writer);
    case SourceFormat::kRgb8:
      return resize_from<SourceFormat::kRgb8>(plan, picture, at, writer);
    case SourceFormat::kGray8:
      return resize_from<SourceFormat::kGray8>(plan, picture, at, writer);
    case SourceFormat::kYuyv:
      return resize_from<SourceFormat::kYuyv>(plan, picture, at, writer);
    case SourceFormat::kNv12:
      return resize_from<SourceFormat::kNv12>(plan, picture, at, writer);
    case SourceFormat::kI420:
      return resize_from<SourceFormat::kI420>(plan, picture, at, writer);
  }
}

}  // namespace edgedl
