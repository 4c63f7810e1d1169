// Without Python: what comes after a network, on exactly sized buffers, so that the sanitizers see
// any access outside them, by every target and by the CUDA kernels in every order of threads.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "core/grid.h"
#include "kernels/beam_step.h"
#include "kernels/best_class.h"
#include "kernels/denormalize.h"
#include "kernels/frame_difference.h"
#include "kernels/nms.h"
#include "kernels/overlay.h"
#include "kernels/softmax_top_k.h"
#include "simd/targets.h"

namespace {

using namespace edgedl;

int failures = 0;

unsigned next_random() {
  static unsigned state = 12345;
  state = state * 1664525u + 1013904223u;
  return state >> 8;
}

std::size_t size(int count) {
  return static_cast<std::size_t>(count);
}

std::vector<std::uint8_t> bytes(int count) {
  std::vector<std::uint8_t> values(size(count));
  for (auto& value : values) value = static_cast<std::uint8_t>(next_random());
  return values;
}

// In -4 .. 4.
std::vector<float> floats(int count) {
  std::vector<float> values(size(count));
  for (auto& value : values) value = static_cast<float>(next_random() % 8001) / 1000.0f - 4.0f;
  return values;
}

// The same, with values that no network should give.
std::vector<float> odd_floats(int count) {
  std::vector<float> values = floats(count);
  const float odd[] = {std::nanf(""), std::numeric_limits<float>::infinity(),
                       -std::numeric_limits<float>::infinity(), 1e30f};
  for (const float value : odd) values[next_random() % values.size()] = value;
  return values;
}

template <class T>
void append(std::vector<std::uint8_t>& all, const std::vector<T>& values) {
  const std::size_t before = all.size();
  all.resize(before + values.size() * sizeof(T));
  if (!values.empty()) std::memcpy(all.data() + before, values.data(), values.size() * sizeof(T));
}

template <class... T>
std::vector<std::uint8_t> joined(const std::vector<T>&... values) {
  std::vector<std::uint8_t> all;
  (append(all, values), ...);
  return all;
}

// `run(order)` returns all that it wrote; -1 is the CPU's own code.
template <class Run>
void check(const char* what, int height, int width, const Run& run) {
  std::vector<std::uint8_t> expected;
  const auto expect_equal = [&](int order) {
    const std::vector<std::uint8_t> got = run(order);
    if (expected.empty()) expected = got;
    if (got == expected) return;
    ++failures;
    std::printf("FAIL %s, %d x %d, %s, order %d\n", what, height, width, active_target().name,
                order);
  };
  for (const CpuKernels* target : runnable_targets()) {
    set_active_target(target->name);
    expect_equal(-1);
  }
  for (int order = 0; order < kThreadOrders; ++order) expect_equal(order);
}

void check_softmax_top_k(int rows, int width, bool odd) {
  const std::vector<float> logits = odd ? odd_floats(rows * width) : floats(rows * width);
  for (const int count : {1, std::min(width, 5), width}) {
    check("softmax_top_k", rows, width, [&](int order) {
      std::vector<float> probabilities(size(rows * count), -7.0f);
      std::vector<std::int64_t> indices(size(rows * count), -7);
      const SoftmaxTopK job{rows, width, count};
      if (order < 0) {
        softmax_top_k_cpu(job, logits.data(), probabilities.data(), indices.data());
      } else {
        softmax_top_k_emulated(job, logits.data(), probabilities.data(), indices.data(), order);
      }
      return joined(probabilities, indices);
    });
  }
}

// Two searches; the last hypothesis of each is complete, and the first one has no row if B is 1.
void check_beam_step(int beams, int width, int length) {
  const int open = std::max(1, beams - 1), rows = 2 * open;
  const std::vector<float> logits = floats(rows * width);
  std::vector<std::int64_t> history(size(rows * length)), row(size(2 * beams), -1);
  for (auto& token : history) token = next_random() % static_cast<unsigned>(std::min(width, 3));
  std::vector<double> log_prob(size(2 * beams)), score(size(2 * beams));
  for (int i = 0; i < 2 * beams; ++i) {
    const int beam = i % beams;
    if (beam < open) row[size(i)] = i / beams * open + beam;
    log_prob[size(i)] = -0.5 * beam;
    score[size(i)] = -0.25 * beam;
  }
  const BeamsBefore before{logits.data(), history.data(), row.data(), log_prob.data(),
                           score.data()};
  for (const int no_repeat : {0, 2}) {
    check("beam_step", beams, width, [&](int order) {
      const BeamStep job{2, beams, rows, width, length, width - 1, no_repeat, true, 1.5};
      std::vector<std::int64_t> parent(size(2 * beams), -7), token(size(2 * beams), -7);
      std::vector<double> log_prob_after(size(2 * beams)), score_after(size(2 * beams));
      const BeamsAfter after{parent.data(), token.data(), log_prob_after.data(),
                             score_after.data()};
      if (order < 0) {
        beam_step_cpu(job, before, after);
      } else {
        beam_step_emulated(job, before, after, order);
      }
      return joined(parent, token, log_prob_after, score_after);
    });
  }
}

void check_nms(int count, bool grouped) {
  std::vector<float> boxes = odd_floats(4 * count), scores = odd_floats(count);
  for (int i = 0; i < count; ++i) {
    boxes[size(4 * i + 2)] = boxes[size(4 * i)] + 2.0f;
    boxes[size(4 * i + 3)] = boxes[size(4 * i + 1)] + 2.0f;
  }
  std::vector<std::int32_t> groups(size(count));
  for (auto& group : groups) group = static_cast<std::int32_t>(next_random() % 3);
  const std::int32_t* of = grouped ? groups.data() : nullptr;
  check("nms", count, 4, [&](int order) {
    const Nms job{count, 0.3f, -1.0f, count};
    std::vector<std::int32_t> kept(size(count), -7);
    const int found = order < 0
                          ? nms_cpu(job, boxes.data(), scores.data(), of, kept.data())
                          : nms_emulated(job, boxes.data(), scores.data(), of, kept.data(), order);
    kept.resize(size(found));
    kept.push_back(found);
    return joined(kept);
  });
}

void check_best_class(int anchors, int values, bool anchors_are_rows) {
  const std::vector<float> src = odd_floats(anchors * values);
  for (const int objectness : {-1, 4}) {
    if (values < 6) continue;
    check("best_class", anchors, values, [&](int order) {
      const BestClass job{anchors, values, 5, objectness, 0.1f, anchors_are_rows};
      std::vector<float> scores(size(anchors), -7.0f);
      std::vector<std::int32_t> classes(size(anchors), -7);
      if (order < 0) {
        best_class_cpu(job, src.data(), scores.data(), classes.data());
      } else {
        best_class_emulated(job, src.data(), scores.data(), classes.data(), order);
      }
      return joined(scores, classes);
    });
  }
}

void check_frame_difference(int height, int width, int channels, int box) {
  if (box > std::min(height, width)) return;
  const std::vector<std::uint8_t> src = bytes(height * width * channels);
  const int reduced = height / box * (width / box);
  const std::vector<std::uint8_t> previous = bytes(reduced);
  FrameDifference job{height, width, channels, box, {1 << 15, 0, 0}, 10, 2, width * channels};
  if (channels == 3) job.weights[0] = 3735, job.weights[1] = 19235, job.weights[2] = 9798;
  for (const std::uint8_t* before : {previous.data(), static_cast<const std::uint8_t*>(nullptr)}) {
    check("frame_difference", height, width, [&](int order) {
      std::vector<std::uint8_t> blurred(size(reduced), 0xA5), changed(size(reduced), 0xA5);
      if (order < 0) {
        frame_difference_cpu(job, src.data(), before, blurred.data(), changed.data());
      } else {
        frame_difference_emulated(job, src.data(), before, blurred.data(), changed.data(), order);
      }
      return joined(blurred, changed);
    });
  }
}

void check_denormalize(int height, int width, int channels) {
  const std::vector<float> src = odd_floats(2 * channels * height * width);
  const Denormalize job{
      2, channels, height, width, {70.0f, 127.5f, 300.0f}, {127.5f, 0.0f, -20.0f}, channels == 3};
  check("denormalize", height, width, [&](int order) {
    std::vector<std::uint8_t> dst(src.size(), 0xA5);
    if (order < 0) {
      denormalize_cpu(job, src.data(), dst.data());
    } else {
      denormalize_emulated(job, src.data(), dst.data(), order);
    }
    return dst;
  });
}

// The last row of the canvas ends where its memory does.
template <class Job>
void check_overlay(const char* what, int height, int width, const Job& job) {
  const int step = 3 * width + 5;
  const std::vector<std::uint8_t> picture = bytes(height * step - 5);
  check(what, height, width, [&](int order) {
    std::vector<std::uint8_t> drawn = picture;
    const Canvas canvas{drawn.data(), height, width, step};
    if (order < 0) {
      overlay_cpu(canvas, job);
    } else {
      overlay_emulated(canvas, job, order);
    }
    return drawn;
  });
}

void check_overlays(int height, int width) {
  constexpr int kFar = std::numeric_limits<int>::max();
  std::vector<std::int32_t> corners = {-kFar, -kFar, kFar, kFar, 0,  0, width, height,
                                       5,     5,     2,    2,    -3, 1, 9,     kFar};
  const std::vector<std::uint8_t> colors = bytes(3 * 4), table = bytes(3 * 256);
  for (const int thickness : {0, 1, 3, kFar}) {
    check_overlay("overlay of boxes", height, width,
                  OverlayBoxes{4, corners.data(), colors.data(), thickness, 99});
  }
  const std::vector<std::uint8_t> coverage = bytes(7 * 21);
  const std::vector<float> heat = odd_floats(5 * 3);
  for (const auto& [x, y] : {std::pair{0, 0}, {-4, -2}, {width - 3, height - 1}, {kFar, -kFar}}) {
    check_overlay("overlay of a mask", height, width,
                  OverlayMask{{x, y, 21, 7}, coverage.data(), {250, 3, 77}, 200});
    for (const auto& [columns, rows] : {std::pair{width, height}, {1, 1}, {300, 2}, {4, 90}}) {
      check_overlay("overlay of a heat map", height, width,
                    OverlayHeat{{x, y, columns, rows}, 5, 3, heat.data(), table.data(), 128});
    }
  }
}

}  // namespace

int main() {
  for (const int width : {1, 7, 16, 33, 130, 1000}) {
    check_softmax_top_k(3, width, false);
    check_softmax_top_k(3, width, true);
    for (const int beams : {1, 2, 5}) check_beam_step(beams, width, 4);
  }
  check_beam_step(3, 20, 0);
  for (const int count : {1, 5, 64, 65, 131}) {
    check_nms(count, false);
    check_nms(count, true);
    for (const int values : {6, 9, 37}) {
      check_best_class(count, values, false);
      check_best_class(count, values, true);
    }
  }
  for (const auto& [height, width] : {std::pair{1, 1}, {2, 7}, {3, 33}, {13, 64}, {17, 131}}) {
    for (const int channels : {1, 3}) {
      check_denormalize(height, width, channels);
      for (const int box : {1, 2, 5}) check_frame_difference(height, width, channels, box);
    }
    check_overlays(height, width);
  }
  std::printf("%d failures\n", failures);
  return failures == 0 ? 0 : 1;
}
