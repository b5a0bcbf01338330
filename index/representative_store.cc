#include "index/representative_store.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"

namespace cairn {
namespace {

constexpr int64_t kChunkVectors = 1024;

}  // namespace

RepresentativeStore::RepresentativeStore(DType type, int32_t dim, int32_t representatives)
    : type_(type),
      dim_(dim),
      representatives_(representatives),
      chunk_blocks_(std::max<int64_t>(1, kChunkVectors / representatives)) {}

size_t RepresentativeStore::LinesFor(int64_t blocks) const {
  const int64_t vectors = (blocks * representatives_ + kPadding - 1) / kPadding * kPadding;
  return static_cast<size_t>(vectors) * static_cast<size_t>(dim_) * DTypeBytes(type_) /
         sizeof(Line);
}

// Makes chunk `index`, the last one, hold at least `blocks`.
void RepresentativeStore::GrowChunk(int64_t index, int64_t blocks) {
  if (static_cast<size_t>(index) == chunks_.size()) chunks_.emplace_back();
  std::vector<Line>& chunk = chunks_[static_cast<size_t>(index)];
  if (chunk.size() >= LinesFor(blocks)) return;
  const size_t doubled = std::min(2 * chunk.size(), LinesFor(chunk_blocks_));
  // A fresh vector allocates exactly what is asked for, zeroed; resize of a used one would not.
  std::vector<Line> larger(index > 0 ? LinesFor(chunk_blocks_)
                                     : std::max(doubled, LinesFor(blocks)));
  if (!chunk.empty()) std::memcpy(larger.data(), chunk.data(), chunk.size() * sizeof(Line));
  chunk = std::move(larger);
}

void RepresentativeStore::Append(int64_t count, const float* vectors) {
  const size_t block_elements = static_cast<size_t>(representatives_) * static_cast<size_t>(dim_);
  while (count > 0) {
    const int64_t index = size_ / chunk_blocks_;
    const int64_t first = size_ % chunk_blocks_;
    const int64_t added = std::min(count, chunk_blocks_ - first);
    GrowChunk(index, first + added);
    std::byte* target = chunks_[static_cast<size_t>(index)].data()->bytes +
                        static_cast<size_t>(first) * block_elements * DTypeBytes(type_);
    const size_t elements = static_cast<size_t>(added) * block_elements;
    ConvertFromFloat(type_, vectors, target, elements);
    vectors += elements;
    size_ += added;
    count -= added;
  }
}

void RepresentativeStore::Truncate(int64_t size) {
  CAIRN_CHECK(size >= 0);
  if (size >= size_) return;
  size_ = size;
  const int64_t used = (size + chunk_blocks_ - 1) / chunk_blocks_;
  chunks_.resize(static_cast<size_t>(used));
}

uint64_t RepresentativeStore::memory_bytes() const {
  uint64_t bytes = 0;
  for (const auto& chunk : chunks_) bytes += chunk.capacity() * sizeof(Line);
  return bytes;
}

}  // namespace cairn
