unsigned read_bytes(const std::uint8_t* from, int count) {
  std::uint64_t seen[8] = {};
  int i = 0;
  for (; i + 64 <= count; i += 64) {
    for (int k = 0; k < 8; ++k) {
      std::uint64_t eight;
      memcpy(&eight, from + i + 8 * k, sizeof eight);
      seen[k] ^= eight;
    }
  }
  for (; i < count; ++i) seen[0] ^= from[i];
  for (int k = 1; k < 8; ++k) seen[0] ^= seen[k];
  return static_cast<unsigned>(seen[0] ^ seen[0] >> 32);
}
