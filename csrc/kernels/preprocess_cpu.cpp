// On the host each row of the tensor is made as a line of bytes, one run per channel, and written
// in the tensor's type and order.
#include <algorithm>
#include <memory>
#include <vector>

#include "core/error.h"
#include "core/parallel_for.h"
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

std::unique_ptr<TensorRows> rows_of(const PreprocessTables& tables, SourceRows& source,
                                    bool backwards) {
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
  return area_rows(tables.at, source, backwards);
}

// Rows begin..end - 1 of one image of the tensor; the picture is a turned one.
void make_image_rows(const PreprocessPlan& plan, const PreprocessTables& tables,
                     const Picture& picture, int begin, int end, void* dst) {
  const Placement& at = tables.at;
  TensorWriter writer(plan, dst);
  if (plan.fit == Fit::kLetterbox) write_padding(plan, at, begin, end, writer);
  const bool backwards = runs_backwards(plan);
  SourceRows source(plan, picture, at, columns_of(tables), rows_held(tables.method));
  const auto rows = rows_of(tables, source, backwards);
  const int pitch = pitch_of(at.width);
  Line line(size_of(channels_of(plan) * pitch));
  Line forwards(backwards ? line.size() : 0);
  const int last = std::min(end, at.y + at.height);
  const bool straight = writer.has_planes() && !backwards;
  for (int y = std::max(begin, at.y); y < last; ++y) {
    if (straight && rows->make_planes(y - at.y, writer.planes(y, at.x))) continue;
    rows->make(y - at.y, line.data());
    for (int c = 0; backwards && c < channels_of(plan); ++c) {
      active_target().reverse_line(line.data() + c * pitch, at.width, forwards.data() + c * pitch);
    }
    writer.write(y, at.x, at.width, (backwards ? forwards : line).data(), pitch);
  }
}

}  // namespace

void preprocess_cpu(const PreprocessPlan& plan, PreprocessCache& cache, const Picture* pictures,
                    int count, void* dst, int threads) {
  for (int i = 0; i < count; ++i) check_picture(plan, pictures[i]);
  require(threads >= 1, "preprocess", "threads must be >= 1; got ", threads);
  const std::int64_t rows = std::int64_t{count} * plan.height;
  const int parts = static_cast<int>(std::min<std::int64_t>(threads, rows));
  parallel_for(parts, [&](int part) {
    std::int64_t row = rows * part / parts;
    const std::int64_t stop = rows * (part + 1) / parts;
    while (row < stop) {
      const int image = static_cast<int>(row / plan.height);
      const int begin = static_cast<int>(row % plan.height);
      const int end = static_cast<int>(std::min<std::int64_t>(plan.height, begin + stop - row));
      const Picture picture = turned(plan, pictures[image]);
      const auto tables = cache.tables(plan, picture.height, picture.width);
      make_image_rows(plan, *tables, picture, begin, end,
                      static_cast<std::uint8_t*>(dst) + size_of(image) * bytes_of_image(plan));
      row += end - begin;
    }
  });
}

void preprocess_cpu(const PreprocessPlan& plan, const Picture& picture, void* dst) {
  PreprocessCache cache;
  preprocess_cpu(plan, cache, &picture, 1, dst, 1);
}

}  // namespace edgedl
