// Rows by interpolation between neighbours, and by picking one of them.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/preprocess_math.h"
#include "kernels/preprocess_rows.h"

namespace edgedl {

// Made once for all pictures of one size.
struct LinearTables {
  LinearTable::Step step;
  int width;
  bool is_paired, is_exact;
  int bytes, next;  // see LinearTable
  Columns columns;
  std::vector<std::int32_t> offset;  // see LinearTable
  std::vector<std::uint32_t> weights;
  std::vector<LinearBlock> blocks;
  std::vector<math::LinearTaps> down;  // one for each row
  std::vector<int> ahead;              // for each source row the one to prefetch meanwhile, or -1
};

LinearTables linear_tables(const PreprocessPlan& plan, const Placement& at, int source_width,
                           bool enlarging_area);

struct NearestTables {
  int width;
  bool is_whole;  // every pixel in turn
  Columns columns;
  std::vector<std::int32_t> offset;
  std::vector<int> down;
};

NearestTables nearest_tables(const PreprocessPlan& plan, const Placement& at);

// Whether all weight is on one neighbour, and the tables that only pick it: a bilinear resize to
// the same size, or to an odd fraction of it, gives the same bytes.
bool only_picks(const LinearTables& tables);
NearestTables picks_of(const PreprocessPlan& plan, const Placement& at, bool enlarging_area);

// Tables and source must outlive the result.
std::unique_ptr<TensorRows> linear_rows(const LinearTables& tables, SourceRows& source);
std::unique_ptr<TensorRows> nearest_rows(const NearestTables& tables, SourceRows& source);

}  // namespace edgedl
