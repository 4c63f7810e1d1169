void yuv_to_rgb_line(const YuvToRgb& k, const std::uint8_t* y, const std::uint8_t* u,
                     const std::uint8_t* v, int count, std::uint8_t* r, std::uint8_t* g,
                     std::uint8_t* b) {
  const YuvToRgb own = k;  // a copy cannot change when an output is written
  for (int i = 0; i < count; ++i) {
    const math::Rgb p = math::yuv_to_rgb(own, y[i], u[i], v[i]);
    r[i] = static_cast<std::uint8_t>(p.r);
    g[i] = static_cast<std::uint8_t>(p.g);
    b[i] = static_cast<std::uint8_t>(p.b);
  }
}

void gray_line(const std::uint8_t* r, const std::uint8_t* g, const std::uint8_t* b, int count,
               std::uint8_t* gray) {
  for (int i = 0; i < count; ++i) {
    gray[i] = static_cast<std::uint8_t>(math::gray({r[i], g[i], b[i]}));
  }
}
