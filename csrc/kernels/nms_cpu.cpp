#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

#include "kernels/nms.h"
#include "simd/targets.h"

namespace edgedl {
namespace {

struct Item {
  std::uint32_t key;
  std::int32_t value;
};

// Sorts by key, keeping the order of equal ones: three passes of 11 bits.
void sort_items(std::vector<Item>& items) {
  constexpr int kBits = 11, kPasses = 3;
  constexpr std::uint32_t kMask = (1u << kBits) - 1;
  static_assert(kBits * kPasses >= 32);
  std::array<std::array<std::uint32_t, 1u << kBits>, kPasses> counts{};
  for (const Item& item : items) {
    for (int pass = 0; pass < kPasses; ++pass) ++counts[pass][item.key >> (pass * kBits) & kMask];
  }
  std::vector<Item> sorted(items.size());
  for (int pass = 0; pass < kPasses && !items.empty(); ++pass) {
    auto& places = counts[pass];
    const int shift = pass * kBits;
    if (places[items[0].key >> shift & kMask] == items.size()) continue;  // all are equal here
    std::uint32_t place = 0;
    for (std::uint32_t& next : places) place += std::exchange(next, place);
    for (const Item& item : items) sorted[places[item.key >> shift & kMask]++] = item;
    items.swap(sorted);
  }
}

const math::Box& box_at(const float* boxes, std::int32_t index) {
  static_assert(sizeof(math::Box) == 4 * sizeof(float));
  return reinterpret_cast<const math::Box*>(boxes)[index];
}

// The kept boxes of one group.
class Group {
 public:
  Group(const CpuKernels& kernels, float threshold) : kernels_(kernels), threshold_(threshold) {}

  void clear() {
    boxes_.clear();
    for (auto& values : coordinates_) values.clear();
  }

  void add(const math::Box& box) {
    const std::size_t at = boxes_.size();
    if (at % kNmsBlock == 0) {
      constexpr float kFar = std::numeric_limits<float>::max();
      constexpr std::array<float, 5> kNowhere{kFar, kFar, -kFar, -kFar, 0.0f};
      for (int i = 0; i < 5; ++i) coordinates_[i].resize(at + kNmsBlock, kNowhere[i]);
    }
    boxes_.push_back(box);
    const float share = math::quick_share(box, threshold_);
    const std::array<float, 5> values{box.x1, box.y1, box.x2, box.y2, share};
    for (int i = 0; i < 5; ++i) coordinates_[i][at] = values[i];
  }

  bool suppresses(const math::Box& box) const {
    if (!math::is_quick(box)) return any_suppresses(0, boxes_.size(), box);
    const NmsKept kept{coordinates_[0].data(), coordinates_[1].data(), coordinates_[2].data(),
                       coordinates_[3].data(), coordinates_[4].data()};
    const float share = math::quick_share(box, threshold_);
    const int count = static_cast<int>(boxes_.size());
    std::uint32_t suspects = 0;
    for (int i = 0; i < count; i += kNmsBlock) {
      i = kernels_.nms_next_suspects(kept, i, count, box, share, threshold_, &suspects);
      for (; i < count && suspects != 0; suspects &= suspects - 1) {
        const int j = i + __builtin_ctz(suspects);
        if (math::suppresses(boxes_[j], box, threshold_)) return true;
      }
    }
    return false;
  }

 private:
  bool any_suppresses(std::size_t from, std::size_t to, const math::Box& box) const {
    for (std::size_t i = from; i < to; ++i) {
      if (math::suppresses(boxes_[i], box, threshold_)) return true;
    }
    return false;
  }

  const CpuKernels& kernels_;
  float threshold_;
  std::vector<math::Box> boxes_;
  std::array<std::vector<float>, 5> coordinates_;
};

std::vector<Item> candidates_of(const Nms& job, const float* boxes, const float* scores) {
  std::vector<Item> candidates(static_cast<std::size_t>(job.boxes));
  std::size_t count = 0;
  for (std::int32_t i = 0; i < job.boxes; ++i) {
    candidates[count].key = math::falling_key(scores[i]);
    candidates[count].value = i;
    count += math::is_candidate(box_at(boxes, i), scores[i], job.score_threshold) ? 1 : 0;
  }
  candidates.resize(count);
  sort_items(candidates);
  if (job.max_candidates > 0 && candidates.size() > static_cast<std::size_t>(job.max_candidates)) {
    candidates.resize(static_cast<std::size_t>(job.max_candidates));
  }
  return candidates;
}

}  // namespace

int nms_cpu(const Nms& job, const float* boxes, const float* scores, const std::int32_t* groups,
            std::int32_t* kept) {
  const std::vector<Item> candidates = candidates_of(job, boxes, scores);
  std::vector<Item> ranks(candidates.size());  // of the candidates, group after group
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    const std::int32_t box = candidates[i].value;
    ranks[i].key = groups == nullptr ? 0 : static_cast<std::uint32_t>(groups[box]);
    ranks[i].value = static_cast<std::int32_t>(i);
  }
  if (groups != nullptr) sort_items(ranks);

  std::vector<char> is_kept(candidates.size());
  Group group(active_target(), job.iou_threshold);
  for (std::size_t i = 0; i < ranks.size(); ++i) {
    if (i > 0 && ranks[i].key != ranks[i - 1].key) group.clear();
    const auto rank = static_cast<std::size_t>(ranks[i].value);
    const math::Box& box = box_at(boxes, candidates[rank].value);
    if (group.suppresses(box)) continue;
    group.add(box);
    is_kept[rank] = 1;
  }

  int count = 0;
  for (std::size_t rank = 0; rank < candidates.size(); ++rank) {
    if (is_kept[rank] != 0) kept[count++] = candidates[rank].value;
  }
  return count;
}

}  // namespace edgedl
