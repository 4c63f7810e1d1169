// Four rows at a time, and the four after them asked for: the rows of a picture are too short for
// the hardware to see that they follow one another.
void sum_rows(const std::uint8_t* src, std::ptrdiff_t step, int rows, int count,
              std::uint16_t* sums) {
  constexpr int kLine = 64;
  for (int i = 0; i < count; ++i) sums[i] = 0;
  int y = 0;
  for (; y + 4 <= rows; y += 4, src += 4 * step) {
    const std::uint8_t *a = src, *b = src + step, *c = src + 2 * step, *d = src + 3 * step;
    for (int start = 0; start < count; start += kLine) {
      for (int k = 4; k < 8; ++k) __builtin_prefetch(src + k * step + start);
      const int end = start + kLine < count ? start + kLine : count;
      for (int i = start; i < end; ++i) {
        sums[i] = static_cast<std::uint16_t>(sums[i] + a[i] + b[i] + c[i] + d[i]);
      }
    }
  }
  for (; y < rows; ++y, src += step) {
    for (int i = 0; i < count; ++i) sums[i] = static_cast<std::uint16_t>(sums[i] + src[i]);
  }
}
