// What a DeviceIndex offers to those who search on a stream of their own.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/device.h"
#include "engine/device_index.h"
#include "tests/support/cuda_on_cpu/thread_block.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

constexpr int32_t kPartitions = 3, kDim = 20, kRepresentatives = 2, kRows = 5;

class DeviceIndexStream : public testing::Test {
 protected:
  void SetUp() override {
    device_ = Device::Open(0).value();
    auto made = DeviceIndex::Make(
        {.partitions = kPartitions, .dim = kDim, .representatives = kRepresentatives}, *device_);
    index_.reset(static_cast<DeviceIndex*>(made.value().release()));
    stream_ = device_->MakeStream().value();
  }

  // Whole numbers, so that sums are the same in any order.
  static std::vector<float> Numbers(size_t count, uint64_t seed) {
    TestRandom random(seed);
    std::vector<float> numbers(count);
    for (float& number : numbers) number = static_cast<float>(random.Int(-9, 9));
    return numbers;
  }

  void Add(int64_t count, uint64_t seed) {
    const auto each = static_cast<size_t>(count) * kRepresentatives * kDim;
    const std::vector<float> vectors = Numbers(each * kPartitions, seed);
    ASSERT_TRUE(index_->Add(0, kPartitions, count, vectors.data()));
    for (size_t p = 0; p < kPartitions; ++p) {
      const auto first = vectors.begin() + static_cast<ptrdiff_t>(p * each);
      held_[p].insert(held_[p].end(), first, first + static_cast<ptrdiff_t>(each));
    }
  }

  float Product(size_t partition, size_t vector, const float* query) const {
    float sum = 0;
    for (size_t d = 0; d < kDim; ++d) sum += held_[partition][vector * kDim + d] * query[d];
    return sum;
  }

  std::unique_ptr<Device> device_;
  std::unique_ptr<DeviceIndex> index_;
  DeviceStream stream_;
  std::vector<float> held_[kPartitions];  // [vectors, D]
};

TEST_F(DeviceIndexStream, ScoresWhatWasAddedWithoutTheHost) {
  constexpr int64_t kBegin = 3, kEnd = 66, kBehind = 4;
  constexpr int32_t kFirst = 1, kCount = 2;
  constexpr size_t kVectors = (kEnd - kBegin) * kRepresentatives, kStride = kVectors + kBehind;
  constexpr size_t kNumbers = kCount * kRows * kDim, kScores = kCount * kRows * kStride;
  PinnedBuffer pinned = device_->AllocatePinned((kNumbers + kScores) * sizeof(float)).value();
  DeviceBuffer there = device_->Allocate((kNumbers + kScores) * sizeof(float)).value();
  auto* const at = reinterpret_cast<float*>(pinned.data());
  auto* const on_device = reinterpret_cast<float*>(there.data());
  for (uint64_t order = 0; order < 20; ++order) {
    cuda_on_cpu::SetOrderSeed(TestSeed() + order);
    const std::vector<float> queries = Numbers(kNumbers, order);
    std::copy(queries.begin(), queries.end(), at);
    std::fill_n(at + kNumbers, kScores, -1000.5f);
    index_->Truncate(0, kPartitions, 0);
    for (auto& held : held_) held.clear();
    for (const int64_t count : {40, 1, 25}) Add(count, order * 100 + static_cast<uint64_t>(count));
    const DeviceCounts before = device_->Counts();
    ASSERT_TRUE(stream_.CopyToDevice(there.data(), pinned.data(), pinned.bytes()));
    ASSERT_TRUE(index_->OrderAfterAdds(stream_));
    ASSERT_TRUE(index_->Score(kFirst, kCount, kBegin, kEnd, on_device, kRows, on_device + kNumbers,
                              kStride, stream_));
    EXPECT_EQ(device_->Counts().waits, before.waits);
    ASSERT_TRUE(stream_.CopyToHost(pinned.data(), there.data(), pinned.bytes()));
    ASSERT_TRUE(stream_.Wait());
    for (size_t row = 0; row < kCount * kRows; ++row) {
      const float* scores = at + kNumbers + row * kStride;
      for (size_t v = 0; v < kVectors; ++v) {
        ASSERT_EQ(scores[v], Product(kFirst + row / kRows, kBegin * kRepresentatives + v,
                                     queries.data() + row * kDim))
            << row << " " << v;
      }
      for (size_t v = kVectors; v < kStride; ++v) ASSERT_EQ(scores[v], -1000.5f);
    }
  }
}

TEST_F(DeviceIndexStream, AVersionIsOfOnePlaceOfTheVectors) {
  EXPECT_EQ(index_->representatives(), kRepresentatives);
  const uint64_t none = index_->version();
  Add(1, 1);
  const uint64_t first = index_->version();
  EXPECT_NE(first, none);
  const uint64_t bytes = index_->memory_bytes();
  Add(5, 2);
  EXPECT_EQ(index_->version(), first);
  index_->Truncate(0, kPartitions, 2);
  EXPECT_EQ(index_->version(), first);
  Add(1000, 3);
  EXPECT_GT(index_->memory_bytes(), bytes);
  EXPECT_NE(index_->version(), first);
}

}  // namespace
}  // namespace cairn
