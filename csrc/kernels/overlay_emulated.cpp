#include "kernels/overlay_grid.h"

namespace edgedl {

void overlay_emulated(const Canvas& canvas, const OverlayBoxes& boxes, int order) {
  overlay_on_grid(canvas, boxes, [&](const auto& kernel) { emulate(kernel, order); });
}

void overlay_emulated(const Canvas& canvas, const OverlayMask& mask, int order) {
  overlay_on_grid(canvas, mask, [&](const auto& kernel) { emulate(kernel, order); });
}

void overlay_emulated(const Canvas& canvas, const OverlayHeat& heat, int order) {
  overlay_on_grid(canvas, heat, [&](const auto& kernel) { emulate(kernel, order); });
}

}  // namespace edgedl
