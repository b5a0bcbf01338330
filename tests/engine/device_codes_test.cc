// A DeviceIndex of 8-bit codes: where codes begin and end, and what becomes of them when blocks go
// or come. That it is an index like others is for the contract suite.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/device.h"
#include "engine/device_index.h"
#include "tests/support/cuda_on_cpu/runtime.h"
#include "tests/support/cuda_on_cpu/thread_block.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

constexpr int32_t kPartitions = 3, kDim = 20, kRows = 2, kChunk = 256;
constexpr float kLargest = 9;  // of vectors, which are whole numbers: bf16 and sums are exact

class DeviceCodesTest : public testing::Test {
 protected:
  void SetUp() override {
    device_ = Device::Open(0).value();
    stream_ = device_->MakeStream().value();
    queries_ = Numbers(static_cast<size_t>(kPartitions * kRows * kDim), 99);
    there_ = device_->Allocate(1 << 20).value();
    pinned_ = device_->AllocatePinned(1 << 20).value();
    Open();
  }
  void Open() {
    for (auto& held : held_) held.clear();
    index_ = DeviceIndex::Make({.kind = IndexKind::kInt8, .partitions = kPartitions, .dim = kDim},
                               *device_)
                 .value();
  }
  static std::vector<float> Numbers(size_t count, uint64_t seed) {
    TestRandom random(seed);
    std::vector<float> numbers(count);
    for (float& number : numbers) {
      number = static_cast<float>(random.Int(-static_cast<int>(kLargest), kLargest));
    }
    return numbers;
  }

  Status Add(int32_t first, int32_t partitions, int64_t count, uint64_t seed) {
    const auto each = static_cast<size_t>(count) * kDim;
    const std::vector<float> vectors = Numbers(each * static_cast<size_t>(partitions), seed);
    CAIRN_TRY(index_->Add(first, partitions, count, vectors.data()));
    for (int32_t p = 0; p < partitions; ++p) {
      const float* own = vectors.data() + static_cast<size_t>(p) * each;
      held_[first + p].insert(held_[first + p].end(), own, own + each);
    }
    return Ok();
  }
  void Truncate(int64_t size) {
    index_->Truncate(0, kPartitions, size);
    for (auto& held : held_) held.resize(static_cast<size_t>(size) * kDim);
  }

  // [partitions, rows, blocks]
  std::vector<float> Scores(int64_t begin, int64_t end) {
    auto& index = static_cast<DeviceIndex&>(*index_);
    auto* const at = reinterpret_cast<float*>(pinned_.data());
    auto* const on_device = reinterpret_cast<float*>(there_.data());
    std::copy(queries_.begin(), queries_.end(), at);
    const auto count = static_cast<size_t>(kPartitions * kRows * (end - begin));
    float* const scores = on_device + queries_.size();
    EXPECT_TRUE(stream_.CopyToDevice(there_.data(), pinned_.data(), queries_.size() * 4));
    EXPECT_TRUE(index.OrderAfterAdds(stream_));
    EXPECT_TRUE(index.Score(0, kPartitions, begin, end, on_device, kRows, scores, 0, stream_));
    EXPECT_TRUE(stream_.CopyToHost(pinned_.data(), reinterpret_cast<std::byte*>(scores),
                                   count * sizeof(float)));
    EXPECT_TRUE(stream_.Wait());
    return {at, at + count};
  }

  // Checks scores [begin, end) of a partition and returns how many are not exact; `times` they may
  // be off by what coding does.
  int Inexact(const std::vector<float>& scores, int32_t partition, int64_t begin, int64_t end,
              float times) const {
    int inexact = 0;
    for (int32_t row = 0; row < kRows; ++row) {
      const float* query = queries_.data() + (partition * kRows + row) * kDim;
      float magnitude = 0;
      for (int32_t d = 0; d < kDim; ++d) magnitude += std::fabs(query[d]);
      const float bound = times * magnitude * (kLargest / 127 / 2 + 1e-3f);
      for (int64_t block = begin; block < end; ++block) {
        float exact = 0;
        const float* vector = held_[partition].data() + block * kDim;
        for (int32_t d = 0; d < kDim; ++d) exact += query[d] * vector[d];
        const float score =
            scores[static_cast<size_t>((partition * kRows + row) * (end - begin) + block - begin)];
        EXPECT_NEAR(score, exact, bound) << partition << " " << block;
        if (score != exact) ++inexact;
      }
    }
    return inexact;
  }

  std::unique_ptr<Device> device_;
  std::unique_ptr<LandmarkIndex> index_;
  DeviceStream stream_;
  std::vector<float> queries_;
  DeviceBuffer there_;
  PinnedBuffer pinned_;
  std::vector<float> held_[kPartitions];
};

TEST_F(DeviceCodesTest, PartitionsMayDifferInHowManyAreCoded) {
  ASSERT_TRUE(Add(0, kPartitions, kChunk - 6, 1));
  ASSERT_TRUE(Add(1, 1, 10, 2));
  const int64_t begin = 3, end = kChunk - 6;
  for (uint64_t order = 0; order < 5; ++order) {
    cuda_on_cpu::SetOrderSeed(TestSeed() + order);
    const std::vector<float> scores = Scores(begin, end);
    EXPECT_EQ(Inexact(scores, 0, begin, end, 0), 0);
    EXPECT_GT(Inexact(scores, 1, begin, end, 1), 2 * kRows * (end - begin) / 3);
    EXPECT_EQ(Inexact(scores, 2, begin, end, 0), 0);
  }
  // Groups of partitions that are alike are scored together, and each is found where it is.
  SearchResult result;
  ASSERT_TRUE(index_->Search({.partition_count = kPartitions,
                              .queries = queries_.data(),
                              .rows = kRows,
                              .begin = begin,
                              .end = end,
                              .k = 1},
                             &result));
  EXPECT_FALSE(result.lse_exact);
  ASSERT_TRUE(index_->Search({.partition_count = 1,
                              .queries = queries_.data(),
                              .rows = kRows,
                              .begin = begin,
                              .end = end,
                              .k = 1},
                             &result));
  EXPECT_TRUE(result.lse_exact);
  // As many blocks, of which one partition keeps codes: the same chunk of all three is coded.
  Truncate(end);
  ASSERT_TRUE(Add(0, kPartitions, 10, 10));
  const std::vector<float> coded = Scores(0, end + 10);
  for (int32_t p = 0; p < kPartitions; ++p) {
    EXPECT_GT(Inexact(coded, p, 0, end + 10, p == 1 ? 2 : 1), kRows * end / 2);
  }
}

TEST_F(DeviceCodesTest, ATruncationLeavesCodesInUseUntilTheChunkIsCompleteAgain) {
  const auto version = [this] { return static_cast<DeviceIndex&>(*index_).version(); };
  ASSERT_TRUE(Add(0, kPartitions, kChunk - 1, 3));
  const uint64_t plain = version();
  ASSERT_TRUE(Add(0, kPartitions, 45, 4));
  EXPECT_NE(version(), plain) << "what was captured of Score before would read what is gone";
  const auto own = [](const std::vector<float>& scores, int64_t row, int64_t blocks) {
    const auto first = scores.begin() + row * blocks;
    return std::vector<float>(first, first + 200);
  };
  const std::vector<float> before = Scores(0, 300);
  const uint64_t coded = version();
  Truncate(270);
  EXPECT_EQ(version(), coded);
  Truncate(200);
  EXPECT_NE(version(), coded) << "what comes behind 200 is not where codes were";
  const std::vector<float> kept = Scores(0, 200);
  ASSERT_TRUE(Add(0, kPartitions, 30, 5));
  const std::vector<float> behind = Scores(0, 230);
  for (int64_t row = 0; row < kPartitions * kRows; ++row) {
    EXPECT_EQ(own(kept, row, 200), own(before, row, 300));
    EXPECT_EQ(own(behind, row, 230), own(before, row, 300));
  }
  const std::vector<float> added = Scores(200, 230);
  for (int32_t p = 0; p < kPartitions; ++p) EXPECT_EQ(Inexact(added, p, 200, 230, 0), 0);
  const uint64_t open = version();
  ASSERT_TRUE(Add(0, kPartitions, 100, 6));
  EXPECT_NE(version(), open);
  const std::vector<float> again = Scores(0, 330);
  for (int32_t p = 0; p < kPartitions; ++p) {
    EXPECT_GT(Inexact(again, p, 0, 330, 2), 0);
    EXPECT_EQ(Inexact(Scores(kChunk, 330), p, kChunk, 330, 0), 0);
  }
}

TEST_F(DeviceCodesTest, ATruncationComesBackToWhatWasKept) {
  ASSERT_TRUE(Add(0, kPartitions, kChunk + 200, 9));
  index_->Keep();
  const uint64_t plain = static_cast<DeviceIndex&>(*index_).version();
  const std::vector<float> before = Scores(0, kChunk + 200);
  for (const int64_t more : {30, 56, 2 * kChunk}) {
    ASSERT_TRUE(Add(0, kPartitions, more, 10));
    if (more > kChunk) Truncate(kChunk + 220);
    Truncate(kChunk + 200);
    EXPECT_EQ(Scores(0, kChunk + 200), before);
  }
  EXPECT_NE(static_cast<DeviceIndex&>(*index_).version(), plain);
  // The chunk is coded from what came, as if nothing else had.
  ASSERT_TRUE(Add(0, kPartitions, kChunk, 11));
  const std::vector<float> asked = Scores(0, 2 * kChunk + 200);
  Open();
  ASSERT_TRUE(Add(0, kPartitions, kChunk + 200, 9));
  ASSERT_TRUE(Add(0, kPartitions, kChunk, 11));
  EXPECT_EQ(Scores(0, 2 * kChunk + 200), asked);
}

// Where what was kept cannot be put back, its codes are in use.
TEST_F(DeviceCodesTest, ATruncationThatFailsLeavesCodes) {
  for (int call = 1, failures = 0;; ++call) {
    Open();
    ASSERT_TRUE(Add(0, kPartitions, 200, 12));
    index_->Keep();
    ASSERT_TRUE(Add(0, kPartitions, 100, 13));
    cuda_on_cpu::FailCall(call);
    Truncate(200);
    const bool past = cuda_on_cpu::FailureIsDue();
    cuda_on_cpu::FailCall(0);
    const std::vector<float> scores = Scores(0, 200);
    for (int32_t p = 0; p < kPartitions; ++p) {
      if (Inexact(scores, p, 0, 200, 1) > 0) ++failures;
    }
    ASSERT_TRUE(Add(0, kPartitions, 100, 13));
    const std::vector<float> again = Scores(0, 300);
    for (int32_t p = 0; p < kPartitions; ++p) Inexact(again, p, 0, 300, 2);
    if (!past) continue;
    EXPECT_GT(failures, 0);
    break;
  }
}

// Whatever call fails, blocks that were there are there, and adding goes on.
TEST_F(DeviceCodesTest, AnAddThatFailsAddsNothing) {
  constexpr int64_t kHeld = kChunk - 5, kAdded = 2 * kChunk;
  int failures = 0;
  for (int call = 1;; ++call) {
    Open();
    ASSERT_TRUE(Add(0, kPartitions, kHeld, 7));
    cuda_on_cpu::FailCall(call);
    const Status added = Add(0, kPartitions, kAdded, 8);
    const bool past = cuda_on_cpu::FailureIsDue();
    cuda_on_cpu::FailCall(0);
    if (!added) {
      ++failures;
      ASSERT_EQ(added.error().code, Errc::kIo) << added.error().message;
      for (int32_t p = 0; p < kPartitions; ++p) ASSERT_EQ(index_->size(p), kHeld);
      const std::vector<float> scores = Scores(0, kHeld);
      for (int32_t p = 0; p < kPartitions; ++p) Inexact(scores, p, 0, kHeld, 1);
      ASSERT_TRUE(Add(0, kPartitions, kAdded, 8));
    }
    const std::vector<float> scores = Scores(0, kHeld + kAdded);
    for (int32_t p = 0; p < kPartitions; ++p) Inexact(scores, p, 0, kHeld + kAdded, 2);
    if (HasFailure()) FAIL() << "after call " << call << " failed";
    if (past) break;
  }
  EXPECT_GT(failures, 5);
}

}  // namespace
}  // namespace cairn
