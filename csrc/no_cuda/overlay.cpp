// The symbols of overlay_cuda.cu in a build without nvcc.
#include "kernels/overlay.h"

#include "no_cuda/refuse.h"

namespace edgedl {

void overlay_cuda(const Canvas&, const OverlayBoxes&, CUstream_st*) {
  refuse("overlay_cuda");
}

void overlay_cuda(const Canvas&, const OverlayMask&, CUstream_st*) {
  refuse("overlay_cuda");
}

void overlay_cuda(const Canvas&, const OverlayHeat&, CUstream_st*) {
  refuse("overlay_cuda");
}

}  // namespace edgedl
