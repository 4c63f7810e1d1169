#pragma once

#include <pybind11/pybind11.h>

namespace edgedl {

void bind_softmax_top_k(pybind11::module_& m);

}  // namespace edgedl
