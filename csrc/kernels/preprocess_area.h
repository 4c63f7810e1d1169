// Rows by averaging the source pixels under each pixel of the tensor.
#pragma once

#include <memory>

#include "kernels/preprocess_area_cpu.h"
#include "kernels/preprocess_rows.h"

namespace edgedl {

// The source must have all columns of the crop, hold kAreaRows rows and outlive the result.
std::unique_ptr<TensorRows> box_rows(const Placement& at, SourceRows& source);
std::unique_ptr<TensorRows> area_rows(const Placement& at, SourceRows& source, bool backwards);

}  // namespace edgedl
