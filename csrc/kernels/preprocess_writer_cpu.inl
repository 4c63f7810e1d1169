void write_float32(const std::uint8_t* value, int count, float scale, float bias, float* dst,
                   std::ptrdiff_t step) {
  if (step == 1) {
    for (int i = 0; i < count; ++i) dst[i] = math::normalize(value[i], scale, bias);
  } else {
    for (int i = 0; i < count; ++i) dst[i * step] = math::normalize(value[i], scale, bias);
  }
}

void write_float16(const std::uint8_t* value, int count, float scale, float bias,
                   std::uint16_t* dst, std::ptrdiff_t step) {
  for (int i = 0; i < count; ++i) {
    dst[i * step] = math::to_half(math::normalize(value[i], scale, bias));
  }
}

void write_uint8(const std::uint8_t* value, int count, std::uint8_t* dst, std::ptrdiff_t step) {
  if (step == 1) {
    for (int i = 0; i < count; ++i) dst[i] = value[i];
  } else {
    for (int i = 0; i < count; ++i) dst[i * step] = value[i];
  }
}
