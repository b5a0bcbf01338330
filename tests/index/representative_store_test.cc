#include "index/representative_store.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "tests/support/random.h"

namespace cairn {
namespace {

class StoreTest : public testing::TestWithParam<DType> {
 protected:
  static constexpr int32_t kDim = 8;
  static constexpr int32_t kRepresentatives = 3;

  // Random appends and truncations against a plain vector.
  void Check(const RepresentativeStore& store, const std::vector<float>& model) const {
    constexpr size_t kBlock = kDim * kRepresentatives;
    ASSERT_EQ(static_cast<size_t>(store.size()), model.size() / kBlock);
    std::vector<float> block(kBlock);
    for (int64_t b = 0; b < store.size(); ++b) {
      const std::byte* chunk = store.chunk(b / store.chunk_blocks());
      ASSERT_EQ(reinterpret_cast<uintptr_t>(chunk) % 64, 0u);
      ConvertToFloat(
          GetParam(),
          chunk + static_cast<size_t>(b % store.chunk_blocks()) * kBlock * DTypeBytes(GetParam()),
          block.data(), kBlock);
      for (size_t i = 0; i < kBlock; ++i) {
        const float expected = model[static_cast<size_t>(b) * kBlock + i];
        ASSERT_EQ(block[i],
                  GetParam() == DType::kF32 ? expected : Bf16ToFloat(FloatToBf16(expected)));
      }
    }
  }
};

TEST_P(StoreTest, HoldsWhatWasAppended) {
  RepresentativeStore store(GetParam(), kDim, kRepresentatives);
  std::vector<float> model;
  TestRandom random(1);
  EXPECT_EQ(store.memory_bytes(), 0u);
  for (int i = 0; i < 60; ++i) {
    const int64_t count = random.Int(0, i % 7 == 0 ? 700 : 6);
    const auto vectors = random.Normals(static_cast<size_t>(count * kDim * kRepresentatives));
    store.Append(count, vectors.data());
    model.insert(model.end(), vectors.begin(), vectors.end());
    if (i % 9 == 8) {
      const int64_t size = random.Int(0, store.size() + 1);
      store.Truncate(size);
      model.resize(std::min(model.size(), static_cast<size_t>(size) * kDim * kRepresentatives));
    }
    Check(store, model);
  }
  store.Truncate(0);
  EXPECT_EQ(store.memory_bytes(), 0u);
}

TEST_P(StoreTest, FullChunksStayWhereTheyAre) {
  RepresentativeStore store(GetParam(), kDim, kRepresentatives);
  TestRandom random(2);
  const int64_t count = store.chunk_blocks();
  const auto vectors = random.Normals(static_cast<size_t>(count * kDim * kRepresentatives));
  store.Append(count, vectors.data());
  const std::byte* first = store.chunk(0);
  const uint64_t bytes = store.memory_bytes();
  for (int i = 0; i < 5; ++i) store.Append(count, vectors.data());
  EXPECT_EQ(store.chunk(0), first);
  EXPECT_EQ(store.memory_bytes(), 6 * bytes);
}

INSTANTIATE_TEST_SUITE_P(Types, StoreTest, testing::Values(DType::kF32, DType::kBF16),
                         [](const auto& info) { return std::string(DTypeName(info.param)); });

}  // namespace
}  // namespace cairn
