#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/frame_difference.h"
#include "kernels/frame_difference_math.h"
#include "simd/targets.h"

namespace edgedl {
namespace {

using Bytes = std::vector<std::uint8_t>;

// The weighted sums of `boxes` neighbouring boxes from the sums of their columns.
template <int Channels>
void means_of_boxes(const std::uint16_t* sums, const FrameDifference& job, std::uint8_t* means,
                    int boxes) {
  const std::uint64_t share = math::share_of_box(job.box);
  for (int x = 0; x < boxes; ++x, sums += job.box * Channels) {
    std::uint32_t total[Channels] = {};
    for (int i = 0; i < job.box; ++i) {
      for (int c = 0; c < Channels; ++c) total[c] += sums[i * Channels + c];
    }
    std::uint64_t weighted = 0;
    for (int c = 0; c < Channels; ++c) {
      weighted += std::uint64_t{total[c]} * static_cast<std::uint64_t>(job.weights[c]);
    }
    means[x] = math::box_mean(weighted, share);
  }
}

Bytes reduced(const FrameDifference& job, const std::uint8_t* src, int height, int width) {
  const auto means_of = job.channels == 1   ? means_of_boxes<1>
                        : job.channels == 2 ? means_of_boxes<2>
                                            : means_of_boxes<3>;
  const int count = width * job.box * job.channels;
  std::vector<std::uint16_t> sums(static_cast<std::size_t>(count));
  Bytes means(static_cast<std::size_t>(height) * static_cast<std::size_t>(width));
  for (int y = 0; y < height; ++y, src += job.box * job.step) {
    active_target().sum_rows(src, job.step, job.box, count, sums.data());
    means_of(sums.data(), job, &means[static_cast<std::size_t>(y) * width], width);
  }
  return means;
}

void blur(const Bytes& means, int height, int width, std::uint8_t* blurred) {
  std::vector<std::uint16_t> across(means.size());
  Bytes padded(static_cast<std::size_t>(width) + 2);
  for (int y = 0; y < height; ++y) {
    const std::uint8_t* row = &means[static_cast<std::size_t>(y) * width];
    padded.front() = row[0];
    std::memcpy(&padded[1], row, static_cast<std::size_t>(width));
    padded.back() = row[width - 1];
    std::uint16_t* to = &across[static_cast<std::size_t>(y) * width];
    for (int x = 0; x < width; ++x) {
      to[x] =
          static_cast<std::uint16_t>(math::blur_across(padded[x], padded[x + 1], padded[x + 2]));
    }
  }
  for (int y = 0; y < height; ++y, blurred += width) {
    const std::uint16_t* here = &across[static_cast<std::size_t>(y) * width];
    const std::uint16_t* above = y == 0 ? here : here - width;
    const std::uint16_t* below = y == height - 1 ? here : here + width;
    for (int x = 0; x < width; ++x) blurred[x] = math::blur_down(above[x], here[x], below[x]);
  }
}

// Sets what lies near a 1 of `line`.
void dilate_across(std::uint8_t* line, int width, int reach) {
  const Bytes before(line, line + width);
  for (int x = 0, done = 0; x < width; ++x) {
    if (before[static_cast<std::size_t>(x)] == 0) continue;
    const int end = std::min(x + reach + 1, width);
    for (done = std::max(done, x - reach); done < end; ++done) line[done] = 1;
  }
}

void dilate(Bytes& moved, int height, int width, int reach, std::uint8_t* changed) {
  for (int y = 0; y < height; ++y) {
    std::uint8_t* line = &moved[static_cast<std::size_t>(y) * width];
    if (std::memchr(line, 1, static_cast<std::size_t>(width)) == nullptr) continue;
    dilate_across(line, width, reach);
    for (int v = std::max(y - reach, 0); v <= std::min(y + reach, height - 1); ++v) {
      std::uint8_t* to = changed + static_cast<std::ptrdiff_t>(v) * width;
      for (int x = 0; x < width; ++x) to[x] |= line[x];
    }
  }
}

}  // namespace

void frame_difference_cpu(const FrameDifference& job, const std::uint8_t* src,
                          const std::uint8_t* previous, std::uint8_t* blurred,
                          std::uint8_t* changed) {
  const int height = job.height / job.box, width = job.width / job.box;
  const Bytes means = reduced(job, src, height, width);
  blur(means, height, width, blurred);
  std::memset(changed, 0, means.size());
  if (previous == nullptr) return;
  Bytes moved(means.size());
  for (std::size_t i = 0; i < moved.size(); ++i) {
    moved[i] = math::differs(blurred[i], previous[i], job.threshold) ? 1 : 0;
  }
  dilate(moved, height, width, job.dilate, changed);
}

}  // namespace edgedl
