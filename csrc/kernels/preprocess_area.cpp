#include "kernels/preprocess_area.h"

#include <algorithm>

#include "kernels/preprocess_math.h"

namespace edgedl {
namespace {

// Rows of the source averaged across, made kAreaRows at a time.
class AreaMeans {
 public:
  AreaMeans(const Placement& at, SourceRows& source, bool backwards,
            std::vector<math::AreaTaps> taps)
      : source_(source),
        kernels_(active_target()),
        height_(at.crop_height),
        taps_(std::move(taps)),
        turned_(size_of(turned_size(taps_.data(), at.width))),
        means_(size_of(kAreaRows * source.channels().count * pitch_of(at.width))) {
    job_.channels = source.channels();
    job_.source_width = at.crop_width;
    job_.taps = taps_.data();
    job_.width = at.width;
    job_.backwards = backwards;
    job_.turned = turned_.data();
    job_.means = means_.data();
    job_.pitch = pitch_of(at.width);
  }

  int count() const { return job_.channels.count * job_.pitch; }

  // Good until the next call.
  const float* row(int y) {
    if (y / kAreaRows != held_) {
      held_ = y / kAreaRows;
      for (int r = 0; r < kAreaRows; ++r) {
        job_.rows[r] = source_.row(std::min(held_ * kAreaRows + r, height_ - 1));
      }
      kernels_.area_across_rows(job_);
    }
    return means_.data() + y % kAreaRows * count();
  }

 private:
  SourceRows& source_;
  const CpuKernels& kernels_;
  const int height_;
  const std::vector<math::AreaTaps> taps_;
  Line turned_;
  std::vector<float> means_;
  AreaAcross job_{};
  int held_ = -1;
};

std::vector<math::AreaTaps> area_cells(const Placement& at, bool backwards) {
  std::vector<math::AreaTaps> taps;
  taps.reserve(size_of(at.width));
  for (int x = 0; x < at.width; ++x) {
    taps.push_back(math::area_taps(backwards ? at.width - 1 - x : x, at.crop_width, at.width));
    if (backwards) taps.back().first = at.crop_width - taps.back().first - taps.back().count;
  }
  return taps;
}

std::vector<math::AreaTaps> box_cells(const Placement& at) {
  const int width = at.crop_width / at.width;
  std::vector<math::AreaTaps> taps;
  taps.reserve(size_of(at.width));
  for (int x = 0; x < at.width; ++x) taps.push_back({x * width, width, 1.0f, 1.0f, 1.0f});
  return taps;
}

class AreaRows : public TensorRows {
 public:
  AreaRows(const Placement& at, SourceRows& source, bool backwards)
      : kernels_(active_target()),
        at_(at),
        means_(at, source, backwards, area_cells(at, backwards)),
        sum_(size_of(means_.count())) {}

  void make(int y, std::uint8_t* line) override {
    const math::AreaTaps taps = math::area_taps(y, at_.crop_height, at_.height);
    std::fill(sum_.begin(), sum_.end(), 0.0f);
    for (int k = 0; k < taps.count; ++k) {
      kernels_.area_down(means_.row(taps.first + k), taps.weight(k), sum_.data(), means_.count());
    }
    kernels_.area_round(sum_.data(), means_.count(), line);
  }

 private:
  const CpuKernels& kernels_;
  const Placement at_;
  AreaMeans means_;
  std::vector<float> sum_;
};

class BoxRows : public TensorRows {
 public:
  BoxRows(const Placement& at, SourceRows& source)
      : kernels_(active_target()),
        width_(at.crop_width / at.width),
        height_(at.crop_height / at.height),
        sums_(at, source, false, box_cells(at)),
        sum_(size_of(sums_.count())) {}

  void make(int y, std::uint8_t* line) override {
    std::fill(sum_.begin(), sum_.end(), 0.0);
    for (int k = 0; k < height_; ++k) {
      kernels_.box_down(sums_.row(y * height_ + k), sum_.data(), sums_.count());
    }
    kernels_.box_round(sum_.data(), width_, height_, sums_.count(), line);
  }

 private:
  const CpuKernels& kernels_;
  const int width_;
  const int height_;
  AreaMeans sums_;
  std::vector<double> sum_;
};

}  // namespace

std::unique_ptr<TensorRows> box_rows(const Placement& at, SourceRows& source) {
  return std::make_unique<BoxRows>(at, source);
}

std::unique_ptr<TensorRows> area_rows(const Placement& at, SourceRows& source, bool backwards) {
  return std::make_unique<AreaRows>(at, source, backwards);
}

}  // namespace edgedl
