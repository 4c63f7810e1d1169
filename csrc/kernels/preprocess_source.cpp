#include <algorithm>
#include <cstring>
#include <utility>

#include "kernels/preprocess_rows.h"

namespace edgedl {
namespace {

// Which place each channel of the tensor has in a pixel r, g, b.
Channels order_of(const PreprocessPlan& plan, bool reversed, std::ptrdiff_t apart, int step) {
  if (channels_of(plan) == 1) return {1, step, {0, 0, 0}};
  const std::ptrdiff_t first = reversed ? 2 * apart : 0;
  return {3, step, {first, apart, 2 * apart - first}};
}

// Cuts a row of `bytes` bytes so that each chunk has as many of the pairs as it can.
std::vector<PairChunk> chunks_of(const std::vector<std::int32_t>& offset, int bytes) {
  std::vector<PairChunk> chunks;
  if (bytes < PairChunk::kBytes) return chunks;
  for (std::size_t i = 0; i < offset.size();) {
    PairChunk chunk{};
    std::memset(chunk.piece, PairChunk::kNone, sizeof chunk.piece);
    chunk.from = std::min(offset[i], bytes - PairChunk::kBytes);
    chunk.to = static_cast<std::int32_t>(2 * i);
    const std::int32_t last = chunk.from + PairChunk::kBytes - 2;
    for (int k = 0; k < PairChunk::kPairs && i < offset.size() && offset[i] <= last; ++k, ++i) {
      for (const int at : {0, 1}) {
        const int place = offset[i] - chunk.from + at;
        chunk.place[2 * k + at] = static_cast<std::uint8_t>(place);
        chunk.piece[place / 16][2 * k + at] = static_cast<std::uint8_t>(place % 16);
      }
    }
    chunks.push_back(chunk);
  }
  return chunks;
}

PairTable table_of(const Pairs& pairs) {
  return {static_cast<int>(pairs.offset.size()), pairs.offset.data(),
          static_cast<int>(pairs.chunks.size()), pairs.chunks.data()};
}

}  // namespace

Columns all_columns() {
  return {};
}

Columns listed_columns(std::vector<int> at) {
  Columns columns;
  columns.at = std::move(at);
  for (const int x : columns.at) columns.rgb_offset.push_back(3 * x);
  return columns;
}

Columns paired_columns(const PreprocessPlan& plan, const Placement& at, int source_width,
                       const std::vector<int>& first) {
  std::vector<int> pairs;
  for (const int x : first) {
    pairs.push_back(x);
    pairs.push_back(x + 1);
  }
  Columns columns = listed_columns(std::move(pairs));
  if (plan.turn.transposed) return columns;
  const int begin = first_column(plan, at, source_width);
  std::vector<std::int32_t> luma, chroma;
  for (const int x : first) luma.push_back(begin + x);
  for (const int x : columns.at) chroma.push_back((begin + x) & ~1);
  const bool has_chroma_pairs = plan.source_format == SourceFormat::kNv12;
  if (has_chroma_pairs || plan.source_format == SourceFormat::kI420) {
    columns.luma = {luma, chunks_of(luma, source_width)};
  }
  if (has_chroma_pairs) columns.chroma = {chroma, chunks_of(chroma, source_width)};
  return columns;
}

SourceRows::SourceRows(const PreprocessPlan& plan, const Picture& picture, const Placement& at,
                       const Columns& columns, int held)
    : plan_(plan),
      picture_(picture),
      at_(at),
      columns_(columns),
      kernels_(active_target()),
      first_(first_column(plan, at, picture.width)),
      begin_(columns.at.empty() ? first_ & ~1 : first_),
      count_(columns.at.empty() ? first_ - begin_ + at.crop_width
                                : static_cast<int>(columns.at.size())),
      pitch_(pitch_of(count_)) {
  const bool to_bgr = plan.pixel_format == PixelFormat::kBgr8;
  if (converts(plan)) {
    lines_.resize(size_of(held * 3 * pitch_));
    luma_.resize(size_of(pitch_ + kLineStep));
    chroma_.resize(size_of(2 * pitch_ + kLineStep));
  }
  if (plan.source_format == SourceFormat::kGray8) {
    channels_ = order_of(plan, false, 0, 1);
  } else if (converts(plan)) {
    channels_ = order_of(plan, to_bgr, pitch_, 1);
  } else {
    channels_ = order_of(plan, (plan.source_format == SourceFormat::kBgr8) != to_bgr, 1, 3);
  }
}

RowAhead SourceRows::ahead(int y) const {
  if (y < 0 || plan_.turn.transposed)
    return {};  // a column lies in as many places as it has pixels
  const math::Row row = math::row_at(picture_.format, picture_.planes, at_.crop_y + y);
  const int pixel = picture_.format == SourceFormat::kYuyv                        ? 2
                    : row.b == nullptr && picture_.format != SourceFormat::kGray8 ? 3
                                                                                  : 1;
  const int width = at_.crop_width * pixel;
  const int shared = picture_.format == SourceFormat::kI420 ? 2 : 1;
  const auto part = [&](const std::uint8_t* of) { return of ? of + first_ / shared : nullptr; };
  return {{row.a + first_ * pixel, part(row.b), part(row.c)},
          {width, width / shared, width / shared}};
}

void SourceRows::prefetch(int y) const {
  const RowAhead row = ahead(y);
  for (int i = 0; i < 3 && row.part[i]; ++i) {
    for (int at = 0; at < row.bytes[i]; at += 64) __builtin_prefetch(row.part[i] + at, 0, 2);
  }
}

const std::uint8_t* SourceRows::in_place(int y) const {
  if (y < 0 || converts(plan_)) return nullptr;
  return math::row_of(picture_.planes[0], at_.crop_y + y) + first_ * channels_.step;
}

const std::uint8_t* SourceRows::row(int y, int soon) {
  if (!converts(plan_)) return in_place(y);
  std::uint8_t* r = lines_.data() + next_;
  next_ = (next_ + size_of(3 * pitch_)) % lines_.size();
  std::uint8_t* g = r + pitch_;
  std::uint8_t* b = g + pitch_;
  const SourceFormat format = picture_.format;
  const bool is_rgb = format == SourceFormat::kBgr8 || format == SourceFormat::kRgb8;
  const bool is_gray = format == SourceFormat::kGray8;
  y += at_.crop_y;
  if (plan_.turn.transposed) {
    read_column(plan_.turn.columns_reversed ? picture_.height - 1 - y : y, r);
  } else if (is_rgb) {
    read_rgb(math::row_at(format, picture_.planes, y), r);
  } else {
    const math::Row row = math::row_at(format, picture_.planes, y);
    read_luma(row);
    const int chroma_row = format == SourceFormat::kYuyv ? y : y / 2;
    if (chroma_held_ != chroma_row) read_chroma(row);
    chroma_held_ = chroma_row;
  }
  if (!is_rgb && !is_gray) {
    kernels_.yuv_to_rgb_line(plan_.yuv, luma_.data(), chroma_.data(), pitch_, ahead(soon), r, g, b);
  } else if (soon >= 0) {
    prefetch(soon);
  }
  if (channels_.count == 1 && !is_gray) kernels_.gray_line(r, g, b, count_, r);
  return columns_.at.empty() ? r + (first_ - begin_) : r;
}

// out[i * apart] = the component of the i-th pixel, of which 1 << shift pixels share one
void SourceRows::gather(const std::uint8_t* from, int step, int shift, int apart,
                        std::uint8_t* out) const {
  if (columns_.at.empty()) {
    for (int i = 0; i < count_; ++i) out[i * apart] = from[((begin_ + i) >> shift) * step];
  } else {
    const int* column = columns_.at.data();
    for (int i = 0; i < count_; ++i) out[i * apart] = from[((begin_ + column[i]) >> shift) * step];
  }
}

void SourceRows::read_rgb(const math::Row& row, std::uint8_t* line) {
  const int red = picture_.format == SourceFormat::kRgb8 ? 0 : 2;
  const Channels rgb{3, 3, {red, 1, 2 - red}};
  const std::uint8_t* first = row.a + 3 * begin_;
  if (columns_.at.empty()) {
    kernels_.split_pixels(first, rgb, count_, pitch_, line);
  } else {
    kernels_.pick_pixels(first, rgb, columns_.rgb_offset.data(), count_, pitch_, line);
  }
}

void SourceRows::read_luma(const math::Row& row) {
  if (picture_.format == SourceFormat::kYuyv) {
    gather(row.a, 2, 0, 1, luma_.data());
  } else if (columns_.at.empty()) {
    std::memcpy(luma_.data(), row.a + begin_, size_of(count_));
  } else if (columns_.luma.offset.empty()) {
    gather(row.a, 1, 0, 1, luma_.data());
  } else {
    kernels_.pick_pairs(row.a, table_of(columns_.luma), luma_.data());
  }
}

void SourceRows::read_chroma(const math::Row& row) {
  std::uint8_t* u = chroma_.data();
  std::uint8_t* v = u + 1;
  if (picture_.format == SourceFormat::kYuyv) {
    gather(row.a + 1, 4, 1, 2, u);
    gather(row.a + 3, 4, 1, 2, v);
  } else if (picture_.format == SourceFormat::kI420) {
    gather(row.b, 1, 1, 2, u);
    gather(row.c, 1, 1, 2, v);
  } else if (columns_.at.empty()) {
    kernels_.double_pairs(row.b + begin_, (count_ + 1) / 2, u);
  } else if (columns_.chroma.offset.empty()) {
    gather(row.b, 2, 1, 2, u);
    gather(row.b + 1, 2, 1, 2, v);
  } else {
    kernels_.pick_pairs(row.b, table_of(columns_.chroma), u);
  }
}

// The same for column x of a transposed picture's source.
void SourceRows::read_column(int x, std::uint8_t* line) {
  const SourceFormat format = picture_.format;
  const bool is_yuv = format == SourceFormat::kYuyv || format == SourceFormat::kNv12 ||
                      format == SourceFormat::kI420;
  for (int i = 0; i < count_; ++i) {
    const int y = begin_ + (columns_.at.empty() ? i : columns_.at[size_of(i)]);
    const math::Components p = math::read(format, math::row_at(format, picture_.planes, y), x);
    (is_yuv ? luma_.data() : line)[i] = p.a;
    std::uint8_t* second = is_yuv ? chroma_.data() + 2 * i : line + pitch_ + i;
    second[0] = p.b;
    second[is_yuv ? 1 : pitch_] = p.c;
  }
}

}  // namespace edgedl
