// Runs of pixels short enough to stay in registers or the nearest cache.
constexpr int kOverlayColorRun = 64;
constexpr int kOverlayHeatRun = 256;

void overlay_color(std::uint8_t* dst, int count, const std::uint8_t* color, int alpha) {
  int at = 0;
  if (count >= kOverlayColorRun) {
    std::uint8_t run[3 * kOverlayColorRun];
    for (int i = 0; i < 3 * kOverlayColorRun; ++i) run[i] = color[i % 3];
    for (; at + kOverlayColorRun <= count; at += kOverlayColorRun, dst += sizeof run) {
      for (int i = 0; i < 3 * kOverlayColorRun; ++i) {
        dst[i] = math::blended(dst[i], run[i], alpha);
      }
    }
  }
  for (; at < count; ++at, dst += 3) {
    for (int c = 0; c < 3; ++c) dst[c] = math::blended(dst[c], color[c], alpha);
  }
}

void overlay_covered(std::uint8_t* dst, const std::uint8_t* coverage, int count,
                     const std::uint8_t* color, int alpha) {
  const int first = color[0], second = color[1], third = color[2];
  for (int i = 0; i < count; ++i) {
    const int share = math::share_of_255(coverage[i] * alpha);
    dst[3 * i] = math::blended(dst[3 * i], first, share);
    dst[3 * i + 1] = math::blended(dst[3 * i + 1], second, share);
    dst[3 * i + 2] = math::blended(dst[3 * i + 2], third, share);
  }
}

void overlay_heat_line(std::uint8_t* dst, const OverlayHeatRows& rows, int count,
                       const std::uint8_t* colors, int alpha) {
  int levels[kOverlayHeatRun];
  std::uint8_t over[3 * kOverlayHeatRun];
  for (int at = 0; at < count; at += kOverlayHeatRun) {
    const int run = count - at < kOverlayHeatRun ? count - at : kOverlayHeatRun;
    const float *top = rows.top + at, *bottom = rows.bottom + at;
    for (int i = 0; i < run; ++i) {
      levels[i] = math::heat_level(math::heat_between(top[i], bottom[i], rows.fraction));
    }
    for (int i = 0; i < run; ++i) {
      const std::uint8_t* color = colors + 3 * levels[i];
      over[3 * i] = color[0];
      over[3 * i + 1] = color[1];
      over[3 * i + 2] = color[2];
    }
    std::uint8_t* to = dst + 3 * at;
    for (int i = 0; i < 3 * run; ++i) to[i] = math::blended(to[i], over[i], alpha);
  }
}
