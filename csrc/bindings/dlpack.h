// Arrays that are lent through DLPack, version 0 or 1.
#pragma once

#include <pybind11/pybind11.h>

#include "bindings/arrays.h"

namespace edgedl {

bool has_dlpack(const pybind11::handle& value);

int dlpack_device_type(const pybind11::handle& value);
Place place_of(int dlpack_device_type);

struct Loan {
  ArrayView view;
  Place place;
  pybind11::object keeper;  // ends the loan
};

// Asks for `value`'s memory, to be used in the order of `stream`: a number, or None on the host.
Loan borrow(const char* operation, const char* rule, const pybind11::handle& value,
            const pybind11::object& stream);

}  // namespace edgedl
