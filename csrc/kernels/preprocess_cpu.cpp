// On the host each row of the tensor is made as a line of bytes, one run per channel, and written
// in the tensor's type and order.
#include <memory>
#include <vector>

#include "kernels/preprocess_area.h"
#include "kernels/preprocess_linear.h"
#include "kernels/preprocess_writer.h"

namespace edgedl {
namespace {

const std::vector<int> kAllColumns;

void write_rows(TensorRows& rows, const Placement& at, int channels, const TensorWriter& writer) {
  const int pitch = pitch_of(at.width);
  Line line(size_of(channels * pitch));
  for (int y = 0; y < at.height; ++y) {
    rows.make(y, line.data());
    writer.write(at.y + y, at.x, at.width, line.data(), pitch);
  }
}

void resize(const PreprocessPlan& plan, const Picture& picture, const Placement& at,
            const TensorWriter& writer) {
  const int channels = channels_of(plan);
  const math::Method method = math::method_of(plan.resize, at);
  switch (method) {
    case math::Method::kNearest: {
      const NearestTables tables = nearest_tables(plan, at);
      SourceRows source(plan, picture, at, tables.columns);
      return write_rows(*nearest_rows(tables, source), at, channels, writer);
    }
    case math::Method::kLinear:
    case math::Method::kLinearArea: {
      const LinearTables tables = linear_tables(plan, at, method == math::Method::kLinearArea);
      SourceRows source(plan, picture, at, tables.columns);
      return write_rows(*linear_rows(tables, source), at, channels, writer);
    }
    case math::Method::kBox: {
      SourceRows source(plan, picture, at, kAllColumns);
      return write_rows(*box_rows(at, source), at, channels, writer);
    }
    case math::Method::kArea: {
      SourceRows source(plan, picture, at, kAllColumns);
      return write_rows(*area_rows(at, source), at, channels, writer);
    }
  }
}

}  // namespace

void preprocess_cpu(const PreprocessPlan& plan, const Picture& picture, void* dst) {
  check_picture(plan, picture);
  const Placement at = place(plan, picture.height, picture.width);
  const TensorWriter writer(plan, dst);
  if (plan.fit == Fit::kLetterbox) write_padding(plan, at, writer);
  resize(plan, picture, at, writer);
}

}  // namespace edgedl
