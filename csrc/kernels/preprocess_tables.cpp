#include "kernels/preprocess_tables.h"

#include <algorithm>

namespace edgedl {
namespace {

constexpr std::size_t kMostTables = 8;

// The mean of 2 x 2 pixels is, bit for bit, what interpolation in the middle of them gives.
math::Method fastest(math::Method method, const Placement& at) {
  const bool halves = at.crop_width == 2 * at.width && at.crop_height == 2 * at.height;
  return method == math::Method::kBox && halves ? math::Method::kLinear : method;
}

}  // namespace

PreprocessTables preprocess_tables(const PreprocessPlan& plan, int source_height,
                                   int source_width) {
  PreprocessTables tables{
      source_height,          source_width, place(plan, source_height, source_width),
      math::Method::kNearest, {},           {}};
  tables.method = fastest(math::method_of(plan.resize, tables.at), tables.at);
  switch (tables.method) {
    case math::Method::kNearest:
      tables.nearest = nearest_tables(plan, tables.at);
      break;
    case math::Method::kLinear:
    case math::Method::kLinearArea: {
      const bool enlarging_area = tables.method == math::Method::kLinearArea;
      tables.linear = linear_tables(plan, tables.at, source_width, enlarging_area);
      if (only_picks(tables.linear)) {
        tables.nearest = picks_of(plan, tables.at, enlarging_area);
        tables.method = math::Method::kNearest;
      }
      break;
    }
    case math::Method::kBox:
    case math::Method::kArea:
      break;
  }
  return tables;
}

std::shared_ptr<const PreprocessTables> PreprocessCache::tables(const PreprocessPlan& plan,
                                                                int source_height,
                                                                int source_width) {
  const std::lock_guard<std::mutex> lock(mutex_);
  const auto found = std::find_if(recent_.begin(), recent_.end(), [=](const auto& tables) {
    return tables->source_height == source_height && tables->source_width == source_width;
  });
  if (found != recent_.end()) {
    std::rotate(found, found + 1, recent_.end());
    return recent_.back();
  }
  auto made = std::make_shared<const PreprocessTables>(
      preprocess_tables(plan, source_height, source_width));
  if (recent_.size() == kMostTables) recent_.erase(recent_.begin());
  recent_.push_back(made);
  return made;
}

}  // namespace edgedl
