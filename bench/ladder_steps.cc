#include "bench/ladder_steps.h"

#include <algorithm>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "base/byte_size.h"
#include "bench/ladder_store.h"
#include "index/landmark_index.h"
#include "kernels/attention.h"
#include "storage/block_format.h"
#include "storage/block_table.h"

namespace cairn {
namespace {

constexpr int32_t kQueryHeads = 9, kKvHeads = 3, kHeadDim = 64;
constexpr int32_t kGroup = kQueryHeads / kKvHeads;
constexpr int32_t kChosen = 8;
constexpr int kRotatedLayers = 30;  // one alone is too small to be told from the ladder itself
constexpr uint32_t kTableSlots = 1 << 15;
constexpr uint64_t kSetBytes = 32 * kMiB;  // that blocks in memory are taken from

/// Keeps the compiler from leaving out what made `value`.
template <class T>
void Use(const T* value) {
  asm volatile("" : : "r"(value) : "memory");
}

std::vector<float> Noise(size_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> noise(count);
  for (float& value : noise) value = normal(random);
  return noise;
}

std::vector<BlockId> Ids(uint32_t count) {
  std::vector<BlockId> ids;
  for (uint32_t i = 0; i < count; ++i) {
    ids.push_back({1, i / 32, static_cast<uint16_t>(i / 4 % 8), static_cast<uint16_t>(i % 4)});
  }
  std::mt19937_64 random(1);
  std::ranges::shuffle(ids, random);
  return ids;
}

std::vector<uint32_t> Numbers(size_t count) {
  std::vector<uint32_t> numbers(count);
  for (uint32_t i = 0; i < count; ++i) numbers[i] = i;
  std::mt19937_64 random(2);
  std::ranges::shuffle(numbers, random);
  return numbers;
}

class EmptyStep final : public LadderCase {
 public:
  explicit EmptyStep(LadderKey key) : LadderCase(key, 0), walk_(Ids(kTableSlots), key.readers) {}
  Status Run(int reader, uint64_t count) override {
    for (; count > 0; --count) Use(walk_.Next(reader, key().batch).data());
    return Ok();
  }

 private:
  Walk<BlockId> walk_;
};

class Rotation final : public LadderCase {
 public:
  explicit Rotation(LadderKey key)
      : LadderCase(std::move(key), 0),
        rope_(RopeStyle::kHalfSplit, RopeTable::InverseFrequencies(1e5, kHeadDim)),
        queries_(Noise(kQueryHeads * kHeadDim, 3)),
        rotated_(queries_.size()) {
    rope_.Reserve(2048);
  }
  Status Run(int, uint64_t count) override {
    for (; count > 0; --count) {
      position_ = (position_ + 63) % 2048;
      for (int layer = 0; layer < kRotatedLayers; ++layer) {
        for (size_t head = 0; head < kQueryHeads; ++head) {
          rope_.Rotate(position_, queries_.data() + head * kHeadDim,
                       rotated_.data() + head * kHeadDim);
        }
        Use(rotated_.data());
      }
    }
    return Ok();
  }

 private:
  RopeTable rope_;
  const std::vector<float> queries_;
  std::vector<float> rotated_;
  int32_t position_ = 0;
};

class Search final : public LadderCase {
 public:
  Search(LadderKey key, std::unique_ptr<LandmarkIndex> index, int64_t blocks)
      : LadderCase(std::move(key), 0),
        index_(std::move(index)),
        blocks_(blocks),
        queries_(Noise(16 * kQueryHeads * kHeadDim, 5)) {}
  Status Run(int, uint64_t count) override {
    for (; count > 0; --count) {
      SearchRequest request;
      request.partition_count = kKvHeads;
      next_ = (next_ + 1) % 16;
      request.queries = queries_.data() + next_ * kQueryHeads * kHeadDim;
      request.rows = request.rows_per_group = kGroup;
      request.end = blocks_;
      request.k = kChosen;
      CAIRN_TRY(index_->Search(request, &result_));
    }
    return Ok();
  }

 private:
  std::unique_ptr<LandmarkIndex> index_;
  const int64_t blocks_;
  const std::vector<float> queries_;  // 16 tokens, one after the other
  size_t next_ = 0;
  SearchResult result_;
};

class LookUp final : public LadderCase {
 public:
  explicit LookUp(LadderKey key)
      : LadderCase(key, 0), table_(kTableSlots), walk_(Ids(kTableSlots), 1), slots_(key.batch) {
    uint32_t slot = 0;
    for (const BlockId& id : walk_.order()) table_.Insert(id, slot++);
    std::vector<BlockId> other = walk_.order();  // not the order of the slots
    std::mt19937_64 random(6);
    std::ranges::shuffle(other, random);
    walk_.Replace(std::move(other));
  }
  Status Run(int, uint64_t count) override {
    for (; count > 0; --count) {
      table_.BeginAccess(0);
      table_.FindAll(walk_.Next(0, key().batch), slots_);
      for (const uint32_t slot : slots_) table_.Touch(slot);
      Use(slots_.data());
    }
    return Ok();
  }

 private:
  BlockTable table_;
  Walk<BlockId> walk_;
  std::vector<uint32_t> slots_;
};

/// Blocks in memory, in random order.
class MemoryCase : public LadderCase {
 public:
  MemoryCase(LadderKey key, size_t stride)
      : LadderCase(key, key.batch * key.block_bytes),
        stride_(stride),
        blocks_(std::max<size_t>(kSetBytes / stride, key.batch)),
        memory_(blocks_ * stride, 9),
        walk_(Numbers(blocks_), 1) {}

 protected:
  std::span<std::byte> At(uint32_t block) { return {memory_.data() + block * stride_, stride_}; }

  const size_t stride_;
  const size_t blocks_;
  RandomBytes memory_;
  Walk<uint32_t> walk_;
};

class Checksum final : public MemoryCase {
 public:
  explicit Checksum(LadderKey key) : MemoryCase(key, key.block_bytes) {
    for (uint32_t i = 0; i < blocks_; ++i) checksums_.push_back(PayloadChecksum(IdOf(i), At(i)));
  }
  Status Run(int, uint64_t count) override {
    for (; count > 0; --count) {
      for (const uint32_t block : walk_.Next(0, key().batch)) {
        if (PayloadChecksum(IdOf(block), At(block)) == checksums_[block]) continue;
        return BlockDamaged(IdOf(block), "its checksum does not fit");
      }
    }
    return Ok();
  }

 private:
  static BlockId IdOf(uint32_t block) { return {.extent = 1, .ordinal = block}; }

  std::vector<uint64_t> checksums_;
};

class Copy final : public MemoryCase {
 public:
  explicit Copy(LadderKey key)
      : MemoryCase(key, key.block_bytes), targets_(key.batch * key.block_bytes, 1) {}
  Status Run(int, uint64_t count) override {
    for (; count > 0; --count) {
      std::byte* target = targets_.data();
      for (const uint32_t block : walk_.Next(0, key().batch)) {
        std::memcpy(target, At(block).data(), stride_);
        target += stride_;
      }
      Use(targets_.data());
    }
    return Ok();
  }

 private:
  RandomBytes targets_;
};

class Attention final : public MemoryCase {
 public:
  explicit Attention(LadderKey key)
      : MemoryCase(key, key.block_bytes),
        rope_(RopeStyle::kHalfSplit, RopeTable::InverseFrequencies(1e5, kHeadDim)),
        queries_(Noise(kGroup * kHeadDim, 11)),
        output_(queries_.size()),
        lse_(kGroup),
        refs_(key.batch) {
    params_.shape.head_dim = kHeadDim;
    params_.shape.dtype = DType::kF16;
    params_.shape.block_rows =
        static_cast<int32_t>(key.block_bytes / (2 * kHeadDim * DTypeBytes(DType::kF16)));
    const int32_t rows = params_.shape.block_rows;
    const std::vector<float> numbers = Noise(key.block_bytes / 2, 12);
    for (uint32_t i = 0; i < blocks_; ++i) {
      ConvertFromFloat(DType::kF16, numbers.data(), At(i).data(), numbers.size());
    }
    for (int32_t i = 0; i < static_cast<int32_t>(key.batch); ++i) {
      refs_[static_cast<size_t>(i)] = {.payload = nullptr, .position = i * rows, .rows = rows};
    }
    q_position_ = static_cast<int32_t>(key.batch) * rows;
    rope_.Reserve(q_position_ + 1);
    params_.scale = 0.125f;
    params_.rope = &rope_;
    params_.rows = 1;
    params_.group = kGroup;
    params_.q = queries_.data();
    params_.q_row_stride = params_.o_row_stride = kGroup * kHeadDim;
    params_.q_positions = &q_position_;
    params_.blocks = refs_;
    params_.o = output_.data();
    params_.lse = lse_.data();
    scratch_bytes_ = AttendScratchFloats(params_) * sizeof(float);
    scratch_.emplace(scratch_bytes_, 1);
  }
  Status Run(int, uint64_t count) override {
    for (; count > 0; --count) {
      size_t i = 0;
      for (const uint32_t block : walk_.Next(0, key().batch)) refs_[i++].payload = At(block).data();
      Attend(params_, reinterpret_cast<float*>(scratch_->data()));
      Use(output_.data());
    }
    return Ok();
  }

 private:
  RopeTable rope_;
  const std::vector<float> queries_;
  std::vector<float> output_, lse_;
  std::vector<BlockRef> refs_;
  int32_t q_position_ = 0;
  AttendParams params_;
  size_t scratch_bytes_ = 0;
  std::optional<RandomBytes> scratch_;
};

/// Makes a case when it is first wanted and lets it go after each turn, since each of them has
/// memory of its own.
template <class Case>
class Transient final : public LadderCase {
 public:
  explicit Transient(LadderKey key) : LadderCase(key, key.batch * key.block_bytes) {}
  Status Prepare() override {
    inner_ = std::make_unique<Case>(key());
    return Ok();
  }
  Status Run(int reader, uint64_t count) override { return inner_->Run(reader, count); }
  void Finish() override { inner_.reset(); }

 private:
  std::unique_ptr<LadderCase> inner_;
};

}  // namespace

std::unique_ptr<LadderCase> MakeEmptyStep(LadderKey key) {
  return std::make_unique<EmptyStep>(std::move(key));
}

std::unique_ptr<LadderCase> MakeRotation(LadderKey key) {
  return std::make_unique<Rotation>(std::move(key));
}

Result<std::unique_ptr<LadderCase>> MakeSearch(LadderKey key, int64_t blocks) {
  IndexOptions options;
  options.partitions = kKvHeads;
  options.dim = kHeadDim;
  CAIRN_TRY(auto index, MakeIndex(options));
  const std::vector<float> landmarks = Noise(static_cast<size_t>(kKvHeads * blocks * kHeadDim), 4);
  CAIRN_TRY(index->Add(0, kKvHeads, blocks, landmarks.data()));
  return std::make_unique<Search>(std::move(key), std::move(index), blocks);
}

std::unique_ptr<LadderCase> MakeLookUp(LadderKey key) {
  return std::make_unique<LookUp>(std::move(key));
}

std::unique_ptr<LadderCase> MakeChecksum(LadderKey key) {
  return std::make_unique<Transient<Checksum>>(std::move(key));
}

std::unique_ptr<LadderCase> MakeCopy(LadderKey key) {
  return std::make_unique<Transient<Copy>>(std::move(key));
}

std::unique_ptr<LadderCase> MakeAttention(LadderKey key) {
  return std::make_unique<Transient<Attention>>(std::move(key));
}

}  // namespace cairn
