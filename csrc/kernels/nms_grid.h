// What the CUDA threads of nms do, in four steps: a key for each box, its rank by counting, the
// pairs of candidates that overlap, and a walk through the candidates 64 at a time.
#pragma once

#include "core/grid.h"
#include "kernels/nms.h"
#include "kernels/nms_math.h"

namespace edgedl {

// What lies between the steps.
struct NmsWorkspace {
  std::uint64_t* overlaps;  // (max_candidates, words): bit j of row i: candidate i suppresses j > i
  std::uint64_t* removed;   // (words), zero at first
  std::int32_t* order;      // (max_candidates): box of each candidate, -1 beyond the last one
  std::uint32_t* keys;      // (boxes)
  int words;

  NmsWorkspace(void* memory, const Nms& job)
      : overlaps(static_cast<std::uint64_t*>(memory)), words(blocks_for(job.max_candidates, 64)) {
    removed = overlaps + std::int64_t{job.max_candidates} * words;
    order = reinterpret_cast<std::int32_t*>(removed + words);
    keys = reinterpret_cast<std::uint32_t*>(order + job.max_candidates);
  }

  static std::size_t bytes(const Nms& job) {
    const auto most = static_cast<std::size_t>(job.max_candidates);
    const auto words = static_cast<std::size_t>(blocks_for(job.max_candidates, 64));
    return 8 * (most + 1) * words + 4 * (most + static_cast<std::size_t>(job.boxes));
  }
};

EDGEDL_HD math::Box nms_box(const float* boxes, std::int32_t index) {
  const float* b = boxes + 4 * std::int64_t{index};
  return {b[0], b[1], b[2], b[3]};
}

constexpr std::uint32_t kNmsLast = ~0u;  // the key of what is no candidate; no score has it

struct NmsKeyGrid {
  Nms job;
  const float* boxes;
  const float* scores;
  std::uint32_t* keys;

  static constexpr int kThreads = 256;

  Dim blocks() const { return {blocks_for(job.boxes, kThreads), 1, 1}; }
  Dim threads() const { return {kThreads, 1, 1}; }

  EDGEDL_HD void operator()(const Thread& thread) const {
    const int i = thread.block.x * kThreads + thread.at.x;
    if (i >= job.boxes) return;
    const bool is_candidate = math::is_candidate(nms_box(boxes, i), scores[i], job.score_threshold);
    keys[i] = is_candidate ? math::falling_key(scores[i]) : kNmsLast;
  }
};

// A thread counts how many boxes go before one box: that is its place.
struct NmsRankGrid {
  Nms job;
  const std::uint32_t* keys;
  std::int32_t* order;

  static constexpr int kThreads = 256;

  Dim blocks() const {
    const int places = job.boxes > job.max_candidates ? job.boxes : job.max_candidates;
    return {blocks_for(places, kThreads), 1, 1};
  }
  Dim threads() const { return {kThreads, 1, 1}; }

  EDGEDL_HD void operator()(const Thread& thread) const {
    const int i = thread.block.x * kThreads + thread.at.x;
    int place = i;
    if (i < job.boxes) {
      const std::uint32_t key = keys[i];
      place = 0;
      for (int j = 0; j < i; ++j) place += keys[j] <= key ? 1 : 0;
      for (int j = i + 1; j < job.boxes; ++j) place += keys[j] < key ? 1 : 0;
    }
    if (place >= job.max_candidates) return;
    order[place] = i < job.boxes && keys[i] != kNmsLast ? i : -1;
  }
};

// A thread compares one candidate with 64 others.
struct NmsOverlapGrid {
  Nms job;
  const float* boxes;
  const std::int32_t* groups;
  const std::int32_t* order;
  std::uint64_t* overlaps;
  int words;

  static constexpr int kThreads = 128;

  Dim blocks() const { return {blocks_for(words, kThreads), job.max_candidates, 1}; }
  Dim threads() const { return {kThreads, 1, 1}; }

  EDGEDL_HD void operator()(const Thread& thread) const {
    const int word = thread.block.x * kThreads + thread.at.x;
    const int i = thread.block.y;
    if (word >= words) return;
    std::uint64_t bits = 0;
    if (order[i] >= 0) {
      const int last = job.max_candidates < 64 * word + 64 ? job.max_candidates : 64 * word + 64;
      for (int j = i + 1 > 64 * word ? i + 1 : 64 * word; j < last && order[j] >= 0; ++j) {
        if (suppresses(order[i], order[j])) bits |= std::uint64_t{1} << (j % 64);
      }
    }
    overlaps[std::int64_t{i} * words + word] = bits;
  }

  EDGEDL_HD bool suppresses(std::int32_t a, std::int32_t b) const {
    if (groups != nullptr && groups[a] != groups[b]) return false;
    return math::suppresses(nms_box(boxes, a), nms_box(boxes, b), job.iou_threshold);
  }
};

// One block decides on 64 candidates, then strikes out what they suppress of the later ones.
struct NmsResolveGrid {
  NmsWorkspace space;
  int max_candidates;
  int word;
  std::int32_t* kept;
  std::int32_t* count;

  static constexpr int kThreads = 128;
  static constexpr int kPhases = 3;

  struct Shared {
    std::uint64_t overlaps[64];
    std::uint64_t keep;
    std::int32_t order[64];
    std::int32_t before;
  };

  Dim blocks() const { return {1, 1, 1}; }
  Dim threads() const { return {kThreads, 1, 1}; }

  template <int Phase>
  EDGEDL_HD void phase(const Thread& thread, Shared& shared) const {
    const int t = thread.at.x;
    if (Phase == 0) {
      gather(t, shared);
    } else if (Phase == 1) {
      if (t == 0) decide(shared);
    } else {
      publish(t, shared);
    }
  }

  EDGEDL_HD void gather(int t, Shared& shared) const {
    if (t >= 64) return;
    const int i = 64 * word + t;
    const bool is_inside = i < max_candidates;
    shared.order[t] = is_inside ? space.order[i] : -1;
    shared.overlaps[t] = is_inside ? space.overlaps[std::int64_t{i} * space.words + word] : 0;
    if (t == 0) shared.before = *count;
  }

  EDGEDL_HD void decide(Shared& shared) const {
    std::uint64_t removed = space.removed[word], keep = 0;
    for (int i = 0; i < 64; ++i) {
      const std::uint64_t bit = std::uint64_t{1} << i;
      if (shared.order[i] < 0 || (removed & bit) != 0) continue;
      keep |= bit;
      removed |= shared.overlaps[i];
    }
    shared.keep = keep;
  }

  EDGEDL_HD void publish(int t, const Shared& shared) const {
    for (int w = word + 1 + t; w < space.words; w += kThreads) {
      std::uint64_t removed = space.removed[w];
      for (int i = 0; i < 64; ++i) {
        if ((shared.keep >> i & 1) == 0) continue;
        removed |= space.overlaps[(std::int64_t{64} * word + i) * space.words + w];
      }
      space.removed[w] = removed;
    }
    if (t >= 64) return;
    int place = shared.before;
    for (int i = 0; i < t; ++i) place += static_cast<int>(shared.keep >> i & 1);
    const bool is_kept = (shared.keep >> t & 1) != 0;
    if (is_kept) kept[place] = shared.order[t];
    if (t == 63) *count = place + (is_kept ? 1 : 0);
  }
};

}  // namespace edgedl
