void denormalize_row(const float* src, std::uint8_t* dst, std::ptrdiff_t count, std::ptrdiff_t step,
                     float scale, float bias) {
  for (std::ptrdiff_t i = 0; i < count; ++i) {
    dst[i * step] = math::denormalize(src[i], scale, bias);
  }
}
