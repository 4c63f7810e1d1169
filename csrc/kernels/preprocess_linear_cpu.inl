void linear_across(const std::uint8_t* row, const Channels& channels, const LinearTable& table,
                   std::int16_t* out) {
  for (int c = 0; c < channels.count; ++c) {
    const std::uint8_t* from = row + channels.of[c];
    for (int x = 0; x < table.count; ++x) {
      const std::uint8_t* first = from + table.offset[x];
      out[x] = math::linear_across(first[0], first[table.next],
                                   static_cast<int>(table.weights[x] & 0xffff),
                                   static_cast<int>(table.weights[x] >> 16));
    }
    out += table.pitch;
  }
}

void linear_down(const std::int16_t* above, const std::int16_t* below, std::int16_t weight0,
                 std::int16_t weight1, int count, std::uint8_t* line) {
  for (int i = 0; i < count; ++i) {
    line[i] = static_cast<std::uint8_t>(math::linear_down(above[i], below[i], weight0, weight1));
  }
}

void pick_pixels(const std::uint8_t* row, const Channels& channels, const std::int32_t* offset,
                 int count, int pitch, std::uint8_t* line) {
  for (int c = 0; c < channels.count; ++c) {
    const std::uint8_t* from = row + channels.of[c];
    for (int i = 0; i < count; ++i) line[c * pitch + i] = from[offset[i]];
  }
}

void split_pixels(const std::uint8_t* row, const Channels& channels, int count, int pitch,
                  std::uint8_t* line) {
  for (int c = 0; c < channels.count; ++c) {
    const std::uint8_t* from = row + channels.of[c];
    for (int i = 0; i < count; ++i) line[c * pitch + i] = from[i * channels.step];
  }
}
