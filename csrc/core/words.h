// What a GPU loads and stores at once. Addresses must be multiples of the size: on the host, where
// a processor takes any, others end the program as they would end the GPU's work.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "core/host_device.h"

namespace edgedl {

struct alignas(16) Words {
  std::uint32_t word[4];
};

EDGEDL_HD bool is_aligned(const void* address, std::size_t bytes) {
  return reinterpret_cast<std::uintptr_t>(address) % bytes == 0;
}

template <class T>
EDGEDL_HD T load_aligned(const std::uint8_t* from) {
#ifdef __CUDA_ARCH__
  return *reinterpret_cast<const T*>(from);
#else
  if (!is_aligned(from, sizeof(T))) std::abort();
  T value;
  memcpy(&value, from, sizeof value);
  return value;
#endif
}

template <class T>
EDGEDL_HD void store_aligned(std::uint8_t* to, const T& value) {
#ifdef __CUDA_ARCH__
  *reinterpret_cast<T*>(to) = value;
#else
  if (!is_aligned(to, sizeof(T))) std::abort();
  memcpy(to, &value, sizeof value);
#endif
}

EDGEDL_HD int byte_of(std::uint32_t word, int i) {
  return static_cast<int>(word >> (8 * i) & 0xff);
}

}  // namespace edgedl
