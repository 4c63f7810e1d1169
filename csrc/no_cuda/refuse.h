#pragma once

#include "core/error.h"

namespace edgedl {

inline void refuse(const char* operation) {
  require(false, operation,
          "this edgedl was built without CUDA; install the CUDA toolkit (nvcc) and build again "
          "with -DEDGEDL_CUDA=ON");
}

}  // namespace edgedl
