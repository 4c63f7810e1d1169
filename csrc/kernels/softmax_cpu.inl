void chunk_maxima(const float* row, std::ptrdiff_t count, float* maxima) {
  for (std::ptrdiff_t start = 0; start < count; start += kLanes) {
    const std::ptrdiff_t end = start + kLanes < count ? start + kLanes : count;
    std::int32_t best = math::order_of(row[start]);
    for (std::ptrdiff_t i = start; i < end; ++i) {
      const std::int32_t order = math::order_of(row[i]);
      best = order > best ? order : best;
    }
    *maxima++ = math::float_of_order(best);
  }
}

float sum_of_exp(const float* row, std::ptrdiff_t count, float largest) {
  float lanes[kLanes] = {};
  std::ptrdiff_t start = 0;
  for (; start + kLanes <= count; start += kLanes) {
    for (int j = 0; j < kLanes; ++j) {
      lanes[j] += math::exp_of_nonpositive(row[start + j] - largest);
    }
  }
  for (int j = 0; start + j < count; ++j) {
    lanes[j] += math::exp_of_nonpositive(row[start + j] - largest);
  }
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int j = 0; j < half; ++j) lanes[j] += lanes[j + half];
  }
  return lanes[0];
}
