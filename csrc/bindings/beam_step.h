#pragma once

#include <pybind11/pybind11.h>

namespace edgedl {

void bind_beam_step(pybind11::module_& m);

}  // namespace edgedl
