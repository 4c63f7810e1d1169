#pragma once

#include <pybind11/pybind11.h>

namespace edgedl {

void bind_nms(pybind11::module_& m);

}  // namespace edgedl
