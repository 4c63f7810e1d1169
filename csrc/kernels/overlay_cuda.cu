#include "core/launch.h"
#include "kernels/overlay_grid.h"

namespace edgedl {

void overlay_cuda(const Canvas& canvas, const OverlayBoxes& boxes, CUstream_st* stream) {
  overlay_on_grid(canvas, boxes,
                  [&](const auto& kernel) { launch("overlay_cuda", kernel, stream); });
}

void overlay_cuda(const Canvas& canvas, const OverlayMask& mask, CUstream_st* stream) {
  overlay_on_grid(canvas, mask,
                  [&](const auto& kernel) { launch("overlay_cuda", kernel, stream); });
}

void overlay_cuda(const Canvas& canvas, const OverlayHeat& heat, CUstream_st* stream) {
  overlay_on_grid(canvas, heat,
                  [&](const auto& kernel) { launch("overlay_cuda", kernel, stream); });
}

}  // namespace edgedl
