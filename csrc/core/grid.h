// CUDA kernels as plain structs, which a GPU runs (core/launch.h) and, in tests, the host.
//
// A kernel without shared memory:
//   Dim blocks() const;  Dim threads() const;
//   EDGEDL_HD void operator()(const Thread&) const;
//
// A kernel whose threads work together has, instead of operator(), memory that a block shares and
// phases with a barrier after each:
//   struct Shared { ... };
//   static constexpr int kPhases = 2;
//   template <int Phase> EDGEDL_HD void phase(const Thread&, Shared&) const;
// What a thread keeps from one phase to the next must lie in Shared.
//
// Some of its phases may come in rounds, one after another as often as all threads of the block
// say:
//   static constexpr int kRoundBegin = 1, kRoundEnd = 3;
//   EDGEDL_HD int rounds(const Shared&) const;  // asked before the first round
//   template <int Phase> EDGEDL_HD void phase(const Thread&, Shared&, int round) const;
#pragma once

#include <cstdint>
#include <cstring>
#include <numeric>
#include <type_traits>

#include "core/host_device.h"

namespace edgedl {

struct Dim {
  int x, y, z;
};

// One thread of a launch: which block, and where in it.
struct Thread {
  Dim block;
  Dim at;
};

inline int blocks_for(std::int64_t items, int threads) {
  return static_cast<int>((items + threads - 1) / threads);
}

template <class Kernel, class = void>
struct HasPhases : std::false_type {};
template <class Kernel>
struct HasPhases<Kernel, std::void_t<typename Kernel::Shared>> : std::true_type {};

template <class Kernel, class = void>
struct HasRounds : std::false_type {};
template <class Kernel>
struct HasRounds<Kernel, std::void_t<decltype(Kernel::kRoundBegin)>> : std::true_type {};

// ---- the host as a GPU ----------------------------------------------------------------------

constexpr int kThreadOrders = 4;

// The i-th thread to run of n: ascending, descending, odd ones after even ones, or scattered.
// A missing barrier or two threads that write the same place show as results that depend on it.
inline int nth_thread(int i, int n, int order) {
  switch (order % kThreadOrders) {
    case 0:
      return i;
    case 1:
      return n - 1 - i;
    case 2:
      return i < (n + 1) / 2 ? 2 * i : 2 * (i - (n + 1) / 2) + 1;
    default: {
      int stride = n / 2 + 1;  // prime to n, so that every thread has its turn
      while (std::gcd(stride, n) != 1) ++stride;
      return static_cast<int>((static_cast<std::int64_t>(i) * stride + n / 3) % n);
    }
  }
}

template <class Function>
void for_threads(Dim threads, int order, const Function& function) {
  const int n = threads.x * threads.y * threads.z;
  for (int i = 0; i < n; ++i) {
    const int t = nth_thread(i, n, order);
    function(Dim{t % threads.x, t / threads.x % threads.y, t / (threads.x * threads.y)});
  }
}

template <int Phase, int End, class Kernel, class... Round>
void emulate_phases(const Kernel& kernel, Dim block, int order, typename Kernel::Shared& shared,
                    Round... round) {
  if constexpr (Phase < End) {
    for_threads(kernel.threads(), order,
                [&](Dim at) { kernel.template phase<Phase>(Thread{block, at}, shared, round...); });
    emulate_phases<Phase + 1, End>(kernel, block, order, shared, round...);
  }
}

template <class Kernel>
void emulate_block(const Kernel& kernel, Dim block, int order) {
  typename Kernel::Shared shared;
  std::memset(static_cast<void*>(&shared), 0xCD, sizeof shared);
  if constexpr (HasRounds<Kernel>::value) {
    constexpr int kBegin = Kernel::kRoundBegin, kEnd = Kernel::kRoundEnd;
    emulate_phases<0, kBegin>(kernel, block, order, shared);
    const int rounds = kernel.rounds(shared);
    for (int i = 0; i < rounds; ++i) emulate_phases<kBegin, kEnd>(kernel, block, order, shared, i);
    emulate_phases<kEnd, Kernel::kPhases>(kernel, block, order, shared);
  } else {
    emulate_phases<0, Kernel::kPhases>(kernel, block, order, shared);
  }
}

// Runs a kernel block by block and thread by thread in one of kThreadOrders orders.
template <class Kernel>
void emulate(const Kernel& kernel, int order) {
  const Dim blocks = kernel.blocks();
  const int n = blocks.x * blocks.y * blocks.z;
  for (int i = 0; i < n; ++i) {
    const int b = order % 2 == 0 ? i : n - 1 - i;
    const Dim block{b % blocks.x, b / blocks.x % blocks.y, b / (blocks.x * blocks.y)};
    if constexpr (HasPhases<Kernel>::value) {
      emulate_block(kernel, block, order);
    } else {
      for_threads(kernel.threads(), order, [&](Dim at) { kernel(Thread{block, at}); });
    }
  }
}

}  // namespace edgedl
