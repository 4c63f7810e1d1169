// What preprocess_cpu computes once for all pictures of one size.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "kernels/preprocess_linear.h"
#include "kernels/preprocess_math.h"

namespace edgedl {

struct PreprocessTables {
  int source_height, source_width;
  Placement at;
  math::Method method;
  LinearTables linear;  // empty unless the method is one of these
  NearestTables nearest;
};

PreprocessTables preprocess_tables(const PreprocessPlan& plan, int source_height, int source_width);

// The tables of the sizes that a plan has met last. Thread-safe.
class PreprocessCache {
 public:
  std::shared_ptr<const PreprocessTables> tables(const PreprocessPlan& plan, int source_height,
                                                 int source_width);

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<const PreprocessTables>> recent_;  // the latest one last
};

// As preprocess_cpu in preprocess.h. The cache must belong to this plan alone.
void preprocess_cpu(const PreprocessPlan& plan, PreprocessCache& cache, const Picture& picture,
                    void* dst);

}  // namespace edgedl
