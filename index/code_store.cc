#include "index/code_store.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "base/dtype.h"

namespace cairn {
namespace {

constexpr int64_t kChunkVectors = 256;
constexpr float kSteps = 255.0f;

/// The least bf16 that is not below `value` ≥ 0.
uint16_t RoundUp(float value) {
  const uint16_t near = FloatToBf16(value);
  return Bf16ToFloat(near) < value ? static_cast<uint16_t>(near + 1) : near;
}

}  // namespace

CodeStore::CodeStore(int32_t dim, int32_t representatives)
    : dim_(dim),
      representatives_(representatives),
      chunk_blocks_(std::max<int64_t>(1, kChunkVectors / representatives)) {}

void CodeStore::Append(int64_t count, const float* vectors) {
  while (count > 0) {
    const int64_t added = std::min(count, chunk_blocks_ - tail_blocks_);
    const size_t floats = static_cast<size_t>(added) * block_floats();
    // Doubling, but never more than a chunk.
    const size_t most = static_cast<size_t>(chunk_blocks_) * block_floats();
    if (tail_.capacity() < tail_.size() + floats) {
      tail_.reserve(std::min(most, std::max(2 * tail_.capacity(), tail_.size() + floats)));
    }
    tail_.insert(tail_.end(), vectors, vectors + floats);
    tail_blocks_ += added;
    vectors += floats;
    count -= added;
    if (tail_blocks_ == chunk_blocks_) Seal();
  }
}

// Codes the tail, which is a full chunk.
void CodeStore::Seal() {
  Chunk chunk;
  const auto lines = static_cast<size_t>(chunk_tiles() * TileBytes(padded_dim())) / sizeof(Line);
  chunk.codes = std::vector<Line>(lines);
  chunk.scale.low.resize(static_cast<size_t>(dim_));
  chunk.scale.step.resize(static_cast<size_t>(dim_));
  chunk.scale.mean.resize(static_cast<size_t>(dim_));
  uint8_t* codes = chunk.codes.data()->bytes;
  for (int64_t d = 0; d < dim_; ++d) {
    float least = tail_[static_cast<size_t>(d)];
    float most = least;
    for (int64_t v = 1; v < chunk_vectors(); ++v) {
      const float value = tail_[static_cast<size_t>(v * dim_ + d)];
      least = std::min(least, value);
      most = std::max(most, value);
    }
    // Halves, because the range of two finite numbers may be infinite.
    const float half_step = (0.5f * most - 0.5f * least) / kSteps;
    const uint16_t step = RoundUp(2.0f * half_step);
    chunk.scale.low[static_cast<size_t>(d)] = least;
    chunk.scale.step[static_cast<size_t>(d)] = step;
    const float half_width = 0.5f * Bf16ToFloat(step);
    if (half_width == 0.0f) continue;
    int64_t sum = 0;
    for (int64_t v = 0; v < chunk_vectors(); ++v) {
      const float value = tail_[static_cast<size_t>(v * dim_ + d)];
      const float steps = std::nearbyint((0.5f * value - 0.5f * least) / half_width);
      const auto code = static_cast<uint8_t>(std::clamp(steps, 0.0f, kSteps));
      codes[CodeOffset(v, d, padded_dim())] = code;
      sum += code;
    }
    chunk.scale.mean[static_cast<size_t>(d)] =
        static_cast<uint8_t>((sum + chunk_vectors() / 2) / chunk_vectors());
  }
  const int64_t uncoded = kept_ - coded_blocks();
  if (uncoded > 0 && uncoded < chunk_blocks_) {
    kept_tail_.assign(tail_.data(), tail_.data() + static_cast<size_t>(uncoded) * block_floats());
  }
  chunks_.push_back(std::move(chunk));
  tail_.clear();
  tail_blocks_ = 0;
}

void CodeStore::Keep() {
  kept_ = size();
  kept_tail_ = std::vector<float>();
}

void CodeStore::Truncate(int64_t size) {
  CAIRN_CHECK(size >= 0);
  if (size >= this->size()) return;
  const int64_t chunk = size / chunk_blocks_;
  const int64_t kept = size % chunk_blocks_;
  if (chunk < coded_chunks()) {
    std::vector<float> tail(static_cast<size_t>(kept) * block_floats());
    for (int64_t b = 0; b < kept; ++b) {
      Read(chunk * chunk_blocks_ + b, tail.data() + static_cast<size_t>(b) * block_floats());
    }
    if (chunk == kept_ / chunk_blocks_) {
      std::copy_n(kept_tail_.data(), std::min(tail.size(), kept_tail_.size()), tail.data());
    }
    chunks_.resize(static_cast<size_t>(chunk));
    tail_ = std::move(tail);
  }
  tail_.resize(static_cast<size_t>(kept) * block_floats());
  tail_blocks_ = kept;
  if (kept == 0) tail_ = std::vector<float>();
  kept_ = std::min(kept_, size);
  if (coded_blocks() <= kept_) kept_tail_ = std::vector<float>();
}

void CodeStore::Read(int64_t block, float* vectors) const {
  const int64_t index = block / chunk_blocks_;
  const int64_t within = block % chunk_blocks_;
  if (index == coded_chunks()) {
    std::copy_n(tail_.data() + static_cast<size_t>(within) * block_floats(), block_floats(),
                vectors);
    return;
  }
  const CodeScale& scale = this->scale(index);
  for (int64_t i = 0; i < representatives_; ++i) {
    const uint8_t* codes =
        tiles(index) + CodeOffset(within * representatives_ + i, 0, padded_dim());
    float* to = vectors + i * dim_;
    for (int64_t d = 0; d < dim_; d += kCodesAtOnce, codes += kTileVectors * kCodesAtOnce) {
      for (int64_t c = 0; c < std::min<int64_t>(kCodesAtOnce, dim_ - d); ++c) {
        const auto at = static_cast<size_t>(d + c);
        const float half_step = 0.5f * std::bit_cast<float>(uint32_t{scale.step[at]} << 16);
        // Halves, as when it was coded.
        to[d + c] = 2.0f * (0.5f * scale.low[at] + static_cast<float>(codes[c]) * half_step);
      }
    }
  }
}

uint64_t CodeStore::memory_bytes() const {
  uint64_t bytes = (tail_.capacity() + kept_tail_.capacity()) * sizeof(float);
  for (const Chunk& chunk : chunks_) {
    bytes += chunk.codes.capacity() * sizeof(Line) +
             (sizeof(float) + sizeof(uint16_t) + 1) * chunk.scale.low.size();
  }
  return bytes;
}

}  // namespace cairn
