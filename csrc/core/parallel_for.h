// A loop whose turns run at the same time.
#pragma once

#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

namespace edgedl {

// Calls function(i) for i = 0..count - 1, each in a thread of its own, the first in the caller's.
// Throws what the first of them threw, when all have ended.
template <class Function>
void parallel_for(int count, const Function& function) {
  std::vector<std::exception_ptr> errors(static_cast<std::size_t>(count));
  const auto run = [&](int i) {
    try {
      function(i);
    } catch (...) {
      errors[static_cast<std::size_t>(i)] = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  int started = 1;
  try {
    for (; started < count; ++started) threads.emplace_back(run, started);
  } catch (...) {  // no more threads to be had: the caller does what is left
  }
  run(0);
  for (; started < count; ++started) run(started);
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace edgedl
