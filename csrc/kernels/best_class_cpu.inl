void best_of_columns(const float* src, std::ptrdiff_t step, int values, int count, float* scores,
                     std::int32_t* classes) {
  for (int i = 0; i < count; ++i) {
    scores[i] = math::no_score();
    classes[i] = 0;
  }
  for (int v = 0; v < values; ++v, src += step) {
    for (int i = 0; i < count; ++i) {
      const bool is_better = src[i] > scores[i];
      scores[i] = is_better ? src[i] : scores[i];
      classes[i] = is_better ? v : classes[i];
    }
  }
}

void best_of_row(const float* src, int values, float* score, std::int32_t* which) {
  constexpr int kLanes = 16;
  float best[kLanes];
  for (int j = 0; j < kLanes; ++j) best[j] = math::no_score();
  int i = 0;
  for (; i + kLanes <= values; i += kLanes) {
    for (int j = 0; j < kLanes; ++j) best[j] = src[i + j] > best[j] ? src[i + j] : best[j];
  }
  for (; i < values; ++i) best[0] = src[i] > best[0] ? src[i] : best[0];
  for (int j = 1; j < kLanes; ++j) best[0] = best[j] > best[0] ? best[j] : best[0];
  *score = best[0];
  *which = 0;
  for (i = 0; i < values; ++i) {  // zeros of both signs are equal: the first one is it
    if (src[i] == best[0]) {
      *score = src[i];
      *which = i;
      return;
    }
  }
}
