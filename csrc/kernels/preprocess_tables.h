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

// A batch: pictures[i] becomes the i-th image of dst. The rows of the tensor are divided among so
// many threads, of which the caller's is one; the result does not depend on them. The cache must
// belong to this plan alone.
void preprocess_cpu(const PreprocessPlan& plan, PreprocessCache& cache, const Picture* pictures,
                    int count, void* dst, int threads);

}  // namespace edgedl
