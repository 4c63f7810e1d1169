#include "kernels/preprocess_area.h"

#include <algorithm>

#include "kernels/preprocess_math.h"

namespace edgedl {
namespace {

class BoxRows : public TensorRows {
 public:
  BoxRows(const Placement& at, SourceRows& source)
      : source_(source),
        width_(at.width),
        box_width_(at.crop_width / at.width),
        box_height_(at.crop_height / at.height),
        sum_(size_of(at.width * source.channels().count)) {}

  void make(int y, std::uint8_t* line) override {
    std::fill(sum_.begin(), sum_.end(), 0);
    for (int j = 0; j < box_height_; ++j) add(source_.row(y * box_height_ + j));
    const int* sum = sum_.data();
    for (int c = 0; c < source_.channels().count; ++c) {
      for (int x = 0; x < width_; ++x) {
        line[c * pitch_of(width_) + x] =
            static_cast<std::uint8_t>(math::box_mean(*sum++, box_width_, box_height_));
      }
    }
  }

 private:
  void add(const std::uint8_t* row) {
    const Channels channels = source_.channels();
    int* sum = sum_.data();
    for (int c = 0; c < channels.count; ++c) {
      const std::uint8_t* value = row + channels.of[c];
      for (int x = 0; x < width_; ++x) {
        for (int i = 0; i < box_width_; ++i, value += channels.step) *sum += *value;
        ++sum;
      }
    }
  }

  SourceRows& source_;
  int width_;
  int box_width_;
  int box_height_;
  std::vector<int> sum_;
};

class AreaRows : public TensorRows {
 public:
  AreaRows(const Placement& at, SourceRows& source)
      : source_(source),
        at_(at),
        across_(size_of(at.width * source.channels().count)),
        sum_(size_of(at.width * source.channels().count)) {
    taps_.reserve(size_of(at.width));
    for (int x = 0; x < at.width; ++x) {
      taps_.push_back(math::area_taps(x, at.crop_width, at.width));
    }
  }

  void make(int y, std::uint8_t* line) override {
    const math::AreaTaps taps = math::area_taps(y, at_.crop_height, at_.height);
    std::fill(sum_.begin(), sum_.end(), 0.0f);
    for (int j = 0; j < taps.count; ++j) {
      average_across(taps.first + j);
      const float weight = taps.weight(j);
      for (std::size_t i = 0; i < sum_.size(); ++i) {
        const float share = across_[i] * weight;
        sum_[i] = sum_[i] + share;
      }
    }
    const float* sum = sum_.data();
    for (int c = 0; c < source_.channels().count; ++c) {
      for (int x = 0; x < at_.width; ++x) {
        line[c * pitch_of(at_.width) + x] = static_cast<std::uint8_t>(math::area_round(*sum++));
      }
    }
  }

 private:
  void average_across(int y) {
    if (held_ == y) return;  // a row on the border of two cells is averaged once
    held_ = y;
    const std::uint8_t* row = source_.row(y);
    const Channels channels = source_.channels();
    float* out = across_.data();
    for (int c = 0; c < channels.count; ++c) {
      for (const math::AreaTaps& taps : taps_) {
        const std::uint8_t* value = row + channels.of[c] + taps.first * channels.step;
        float sum = 0.0f;
        for (int k = 0; k < taps.count; ++k) {
          const float share = static_cast<float>(value[k * channels.step]) * taps.weight(k);
          sum = sum + share;
        }
        *out++ = sum;
      }
    }
  }

  SourceRows& source_;
  const Placement at_;
  std::vector<math::AreaTaps> taps_;
  std::vector<float> across_;
  std::vector<float> sum_;
  int held_ = -1;
};

}  // namespace

std::unique_ptr<TensorRows> box_rows(const Placement& at, SourceRows& source) {
  return std::make_unique<BoxRows>(at, source);
}

std::unique_ptr<TensorRows> area_rows(const Placement& at, SourceRows& source) {
  return std::make_unique<AreaRows>(at, source);
}

}  // namespace edgedl
