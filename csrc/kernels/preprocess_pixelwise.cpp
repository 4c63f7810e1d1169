#include "kernels/preprocess_pixel.h"

namespace edgedl {

void preprocess_pixelwise(const PreprocessPlan& plan, const Picture& picture, void* dst) {
  check_picture(plan, picture);
  const Placement at = place(plan, picture.height, picture.width);
  const math::Job job{plan, picture, at, math::method_of(plan.resize, at)};
  for (int y = 0; y < plan.height; ++y) {
    for (int x = 0; x < plan.width; ++x) math::write_pixel(job, x, y, dst);
  }
}

}  // namespace edgedl
