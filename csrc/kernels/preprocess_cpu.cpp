// On the host each row of the tensor is made as a line of bytes, one run per channel, and written
// in the tensor's type and order.
#include <memory>
#include <vector>

#include "kernels/preprocess_area.h"
#include "kernels/preprocess_linear.h"
#include "kernels/preprocess_tables.h"
#include "kernels/preprocess_writer.h"

namespace edgedl {
namespace {

const Columns kAllColumns = all_columns();

const Columns& columns_of(const PreprocessTables& tables) {
  switch (tables.method) {
    case math::Method::kNearest:
      return tables.nearest.columns;
    case math::Method::kLinear:
    case math::Method::kLinearArea:
      return tables.linear.columns;
    case math::Method::kBox:
    case math::Method::kArea:
      break;
  }
  return kAllColumns;
}

int rows_held(math::Method method) {
  return method == math::Method::kBox || method == math::Method::kArea ? kAreaRows : 1;
}

std::unique_ptr<TensorRows> rows_of(const PreprocessTables& tables, SourceRows& source) {
  switch (tables.method) {
    case math::Method::kNearest:
      return nearest_rows(tables.nearest, source);
    case math::Method::kLinear:
    case math::Method::kLinearArea:
      return linear_rows(tables.linear, source);
    case math::Method::kBox:
      return box_rows(tables.at, source);
    case math::Method::kArea:
      break;
  }
  return area_rows(tables.at, source);
}

}  // namespace

void preprocess_cpu(const PreprocessPlan& plan, PreprocessCache& cache, const Picture& picture,
                    void* dst) {
  check_picture(plan, picture);
  const auto tables = cache.tables(plan, picture.height, picture.width);
  const Placement& at = tables->at;
  const TensorWriter writer(plan, dst);
  if (plan.fit == Fit::kLetterbox) write_padding(plan, at, writer);
  SourceRows source(plan, picture, at, columns_of(*tables), rows_held(tables->method));
  const auto rows = rows_of(*tables, source);
  const int pitch = pitch_of(at.width);
  Line line(size_of(channels_of(plan) * pitch));
  for (int y = 0; y < at.height; ++y) {
    rows->make(y, line.data());
    writer.write(at.y + y, at.x, at.width, line.data(), pitch);
  }
}

void preprocess_cpu(const PreprocessPlan& plan, const Picture& picture, void* dst) {
  PreprocessCache cache;
  preprocess_cpu(plan, cache, picture, dst);
}

}  // namespace edgedl
