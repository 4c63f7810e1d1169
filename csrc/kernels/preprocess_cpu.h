// What each target compiles of preprocess: see simd/targets.h.
//
// A row of the tensor is made as a line: bytes, one run of `pitch` per channel. Lines have room for
// whole vectors: kernels may read and write `pitch` values of each run, whatever `count` is.
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/preprocess.h"

namespace edgedl {

constexpr int kLineStep = 64;  // pitches are multiples of it

constexpr int pitch_of(int count) {
  return (count + kLineStep - 1) / kLineStep * kLineStep;
}

// Where the channels of a source row lie: channel c of pixel x is row[of[c] + x * step].
struct Channels {
  int count;
  int step;
  std::ptrdiff_t of[3];
};

// 32 pixels of a line, for targets that permute whole vectors of bytes. With p the neighbour that
// weighs more and q the other one, at most 1024,
//   (p * weight_p + q * weight_q) >> 4 = 128 p + ((128 (p - q) * -32 weight_q) >> 16)
// which takes 16-bit numbers only.
struct LinearBlock {
  static constexpr int kPixels = 32;
  enum Kind {
    kTogether,  // all pixels in 64 bytes at from[0] and 64 at from[1]
    kHalves,    // as kTogether for the first 16; the others at from[2] and from[3]
    kApart,     // 8 bytes at each of from[0..31], one half after the other
  } kind;
  std::int32_t from[kPixels];
  // Where the bytes of the first channel are, in the odd places; even ones are not used.
  // kTogether: every p, then every q; else p and q of the first half, then of the second.
  std::uint8_t place[4 * kPixels];
  std::int16_t weight[kPixels];  // -32 weight_q
};

// For each pixel of a line the byte offset of the first of two neighbours of the source, and their
// weights: weight0 | weight1 << 16. Both arrays have `pitch` entries.
struct LinearTable {
  enum Step {
    kAny,
    kEachPixel,  // every pixel in turn, with all the weight
    kEachPair,   // the mean of every two
  } step;
  int count;
  int pitch;
  int bytes;       // of the row, from the first pixel on
  bool is_paired;  // offset[i] = 2i for i < count, in planes of pitch_of(2 * count) bytes
  bool is_exact;   // two weights always add up to 2048
  int next;        // bytes from the first neighbour to the second; 0 in a source of one column
  const std::int32_t* offset;
  const std::uint32_t* weights;
  const LinearBlock* blocks;  // or nullptr: not for a row this narrow
};

// One row interpolated across: 0..32640, a run of table.pitch per channel. `ahead` is a row that
// will be read soon, or nullptr: memory brings it while this one is computed.
using LinearAcross = void (*)(const std::uint8_t* row, const std::uint8_t* ahead,
                              const Channels& channels, const LinearTable& table,
                              std::int16_t* out);

// Two such rows to a line; `count` is a multiple of kLineStep.
using LinearDown = void (*)(const std::int16_t* above, const std::int16_t* below,
                            std::int16_t weight0, std::int16_t weight1, int count,
                            std::uint8_t* line);

// `count` values of one channel of them, each scaled to the tensor's type.
using LinearDownFloat32 = void (*)(const std::int16_t* above, const std::int16_t* below,
                                   std::int16_t weight0, std::int16_t weight1, int count,
                                   float scale, float bias, float* dst);

// line[c][i] = row[channels.of[c] + offset[i]]; nothing behind count values is written.
using PickPixels = void (*)(const std::uint8_t* row, const Channels& channels,
                            const std::int32_t* offset, int count, int pitch, std::uint8_t* line);

// line[c][i] = row[channels.of[c] + i * channels.step]; nothing behind count values is written.
using SplitPixels = void (*)(const std::uint8_t* row, const Channels& channels, int count,
                             int pitch, std::uint8_t* line);

// At most kPairs pairs of bytes that lie in 64 bytes of a row: those of the output from byte `to`
// on are in the row from byte `from` on.
struct PairChunk {
  static constexpr int kBytes = 64;
  static constexpr int kPairs = 16;
  static constexpr std::uint8_t kNone = 128;
  std::int32_t from, to;
  std::uint8_t place[2 * kPairs];
  std::uint8_t piece[4][2 * kPairs];  // places in each 16 bytes; kNone for those in other ones
};

// Pairs that lie anywhere in a row, ascending; no chunks where the row is shorter than they are.
struct PairTable {
  int count;
  const std::int32_t* offset;
  int chunk_count;
  const PairChunk* chunks;
};

// out[2i], out[2i + 1] = the pair at offset[i]. May write 64 bytes more than it should.
using PickPairs = void (*)(const std::uint8_t* row, const PairTable& table, std::uint8_t* out);

// Each of `count` pairs of bytes twice.
using DoublePairs = void (*)(const std::uint8_t* from, int count, std::uint8_t* out);

// Where the parts of a row lie that will be read soon; nullptr for those it has not.
struct RowAhead {
  const std::uint8_t* part[3];
  int bytes[3];
};

// `count` pixels, a multiple of kLineStep; each has its own u, v. Memory brings the row ahead
// meanwhile.
using YuvToRgbLine = void (*)(const YuvToRgb& k, const std::uint8_t* y, const std::uint8_t* uv,
                              int count, const RowAhead& ahead, std::uint8_t* r, std::uint8_t* g,
                              std::uint8_t* b);
using GrayLine = void (*)(const std::uint8_t* r, const std::uint8_t* g, const std::uint8_t* b,
                          int count, std::uint8_t* gray);

// Pixel after pixel: dst[3 i + c] = line[c][i].
using InterleaveLine = void (*)(const std::uint8_t* line, int pitch, int count, std::uint8_t* dst);

// What becomes of values that lie pixel after pixel, of `count` channels: 1 or 3. Written out for a
// few pixels, so that vectors are loaded from here.
struct Scales {
  static constexpr int kPeriod = 48;
  int count;
  alignas(64) float scale[kPeriod];
  alignas(64) float bias[kPeriod];
};

// dst[i] = value[i] * scale[i % kPeriod] + bias[i % kPeriod]
using WriteFloat32 = void (*)(const std::uint8_t* value, int count, const Scales& scales,
                              float* dst);
using WriteFloat16 = void (*)(const std::uint8_t* value, int count, const Scales& scales,
                              std::uint16_t* dst);
using WriteInt8 = void (*)(const std::uint8_t* value, int count, const Scales& scales,
                           std::int8_t* dst);

// dst[i] = line[count - 1 - i]; they must not overlap.
using ReverseLine = void (*)(const std::uint8_t* line, int count, std::uint8_t* dst);

// Reads all bytes, and returns something that depends on them.
using ReadBytes = unsigned (*)(const std::uint8_t* from, int count);

}  // namespace edgedl
