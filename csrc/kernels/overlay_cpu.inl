// Runs of pixels short enough to stay in registers or the nearest cache.
constexpr int kOverlayColorRun = 3 * 64;  // bytes
constexpr int kOverlayHeatRun = 256;

void overlay_color(std::uint8_t* dst, std::ptrdiff_t step, int rows, int columns,
                   const std::uint8_t* color, int alpha) {
  const std::ptrdiff_t bytes = std::ptrdiff_t{3} * columns;
  std::uint8_t run[kOverlayColorRun];
  for (int i = 0; i < kOverlayColorRun && i < bytes; i += 3) {
    for (int c = 0; c < 3; ++c) run[i + c] = color[c];
  }
  for (; rows > 0; --rows, dst += step) {
    std::uint8_t* to = dst;
    std::ptrdiff_t left = bytes;
    if (alpha == 255) {
      for (; left >= kOverlayColorRun; left -= kOverlayColorRun, to += kOverlayColorRun) {
        std::memcpy(to, run, sizeof run);
      }
      std::memcpy(to, run, static_cast<std::size_t>(left));
      continue;
    }
    for (; left >= kOverlayColorRun; left -= kOverlayColorRun, to += kOverlayColorRun) {
      for (int i = 0; i < kOverlayColorRun; ++i) to[i] = math::blended(to[i], run[i], alpha);
    }
    for (int i = 0; i < left; ++i) to[i] = math::blended(to[i], run[i], alpha);
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
