// Pictures and tensors of preprocess from Python's arrays, checked.
#pragma once

#include <vector>

#include "bindings/arrays.h"
#include "kernels/preprocess.h"

namespace edgedl {

// A picture and where its bytes lie.
struct PictureView {
  Picture picture;
  ArrayView planes[3];
  int count;
};

// `pixels` as the source format wants them: one array, or a tuple of planes. Throws Error
// otherwise.
PictureView picture_of(Arrays& arrays, SourceFormat format, const pybind11::handle& pixels);

// A list of pictures, or a bare picture, which is a batch of one.
std::vector<PictureView> pictures_of(Arrays& arrays, SourceFormat format,
                                     const pybind11::handle& batch);

// Where to write the tensor of so many images, apart from all of them. Throws Error if `out` is not
// writable, contiguous, and of the plan's type and shape.
void* tensor_out(Arrays& arrays, const PreprocessPlan& plan, const PictureView* pictures,
                 std::size_t count, const pybind11::handle& out);

}  // namespace edgedl
