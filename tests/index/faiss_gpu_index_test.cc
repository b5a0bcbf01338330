// What of the FAISS index on a GPU the contract does not know: layers and heads, limits of FAISS,
// what is asked of the device, and failures. On tests/support/cuda_on_cpu.
#include "index/faiss_gpu_index.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/cuda_on_cpu/cuda_runtime.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

constexpr int32_t kDim = 16;

class FaissGpuIndexTest : public testing::Test {
 protected:
  void Make(int32_t layers, int32_t heads, DType dtype = DType::kBF16) {
    options_.partitions = layers * heads;
    options_.dim = kDim;
    options_.dtype = dtype;
    options_.kind = IndexKind::kFaiss;
    index_ = MakeFaissGpuIndex(options_, heads, *device_).value();
    on_cpu_ = MakeIndex(options_).value();
  }

  void Add(int32_t first, int32_t partitions, int64_t count, float scale = 1) {
    const auto vectors = random_.Normals(static_cast<size_t>(partitions * count * kDim), scale);
    ASSERT_TRUE(index_->Add(first, partitions, count, vectors.data()).has_value());
    ASSERT_TRUE(on_cpu_->Add(first, partitions, count, vectors.data()).has_value());
  }

  void Truncate(int32_t first, int32_t partitions, int64_t size) {
    index_->Truncate(first, partitions, size);
    on_cpu_->Truncate(first, partitions, size);
  }

  // FAISS on the CPU chooses the same, in an order that rounding may change.
  void Search(int32_t first, int32_t partitions, int64_t begin, int64_t end, int32_t k,
              float scale = 1) {
    const auto queries = random_.Normals(static_cast<size_t>(partitions * kRows * kDim), scale);
    const SearchRequest request{.first_partition = first,
                                .partition_count = partitions,
                                .queries = queries.data(),
                                .rows = kRows,
                                .rows_per_group = 1,
                                .begin = begin,
                                .end = end,
                                .k = k};
    SearchResult found, expected;
    ASSERT_TRUE(on_cpu_->Search(request, &expected).has_value());
    const Status status = index_->Search(request, &found);
    ASSERT_TRUE(status.has_value()) << status.error().message;
    for (SearchResult* result : {&found, &expected}) {
      auto at = result->ordinals.begin();
      for (; at != result->ordinals.end(); at += result->k) std::sort(at, at + result->k);
    }
    EXPECT_EQ(found.ordinals, expected.ordinals);
  }

  static constexpr int32_t kRows = 5;
  std::unique_ptr<Device> device_ = Device::Open(0).value();
  IndexOptions options_;
  TestRandom random_;
  std::unique_ptr<LandmarkIndex> index_, on_cpu_;
};

TEST_F(FaissGpuIndexTest, LayersGrowApart) {
  Make(3, 2);
  Add(2, 2, 300);
  Add(0, 2, 40);
  Search(2, 2, 3, 290, 7);
  Search(0, 2, 0, 40, 7);
  Add(4, 2, 900);
  Search(2, 2, 0, 300, 7);
  Search(1, 4, 0, 40, 7);  // parts of two layers, and one whole
  EXPECT_EQ(index_->size(1), 40);
  EXPECT_EQ(index_->size(5), 900);
}

// What a head that is behind has not written is no number, and its zeros must not meet it.
TEST_F(FaissGpuIndexTest, HeadsOfALayerGrowApart) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    Make(2, 3, dtype);
    Add(4, 1, 150);
    Search(4, 1, 0, 150, 4);
    Add(3, 1, 20);
    Add(5, 1, 170);
    Search(4, 2, 0, 150, 4);
    Add(3, 1, 200);
    Search(3, 1, 0, 220, 4);
    Truncate(4, 2, 70);
    Add(4, 1, 100);
    Add(5, 1, 260);
    Search(4, 1, 0, 170, 4);
    Search(3, 3, 0, 170, 4);
    Search(5, 1, 200, 330, 4);
  }
}

TEST_F(FaissGpuIndexTest, MoreThanFaissFinds) {
  Make(1, 2);
  Add(0, 2, 1500);
  Search(0, 2, 0, 1500, 1100);
  Search(0, 2, 0, 1500, 600);
}

TEST_F(FaissGpuIndexTest, NumbersThatHalvesDoNotHold) {
  Make(1, 2);
  Add(0, 2, 300);
  for (const float scale : {1e-30f, 1e-6f, 1e5f, 1e30f}) Search(0, 2, 0, 300, 5, scale);
  Add(0, 2, 300, 1e-8f);
  Search(0, 2, 300, 600, 5);
  Add(0, 2, 300, 1e3f);
  Search(0, 2, 250, 900, 5);
  std::vector<float> vectors(2 * kDim, 1.0f);
  vectors.back() = -65504.0f;  // rounds to more
  const Status status = index_->Add(0, 2, 1, vectors.data());
  ASSERT_FALSE(status.has_value());
  EXPECT_EQ(status.error().code, Errc::kUnsupported);
  EXPECT_NE(status.error().message.find("use --index auto"), std::string::npos);
  EXPECT_EQ(index_->size(0), 900);
  vectors.back() = 65280.0f;
  EXPECT_TRUE(index_->Add(0, 2, 1, vectors.data()).has_value());
}

// To halves they are all zeros.
TEST_F(FaissGpuIndexTest, VectorsThatHalvesLose) {
  Make(1, 2);
  Add(0, 2, 300, 3e-9f);
  Search(0, 2, 0, 300, 5);
}

// Bounds of what rounding may hide outlive blocks that are forgotten.
TEST_F(FaissGpuIndexTest, TiesBehindATruncation) {
  Make(1, 1, DType::kF32);
  const auto kinds = random_.Normals(5 * kDim);
  std::vector<float> vectors;
  for (int64_t b = 0; b < 600; ++b) {
    const auto begin = kinds.begin() + random_.Int(0, 4) * kDim;
    vectors.insert(vectors.end(), begin, begin + kDim);
  }
  ASSERT_TRUE(index_->Add(0, 1, 600, vectors.data()).has_value());
  ASSERT_TRUE(on_cpu_->Add(0, 1, 600, vectors.data()).has_value());
  Truncate(0, 1, 590);
  for (const int32_t k : {50, 100, 150, 200}) Search(0, 1, 0, 590, k);
}

TEST_F(FaissGpuIndexTest, AnEstimateInOneLayerIsOneOfAll) {
  Make(2, 1);
  const std::vector<float> equal(500 * kDim, 1.0f);
  Add(0, 1, 500);
  ASSERT_TRUE(index_->Add(1, 1, 500, equal.data()).has_value());
  const std::vector<float> queries(2 * kDim, 0.5f);
  for (const int32_t first : {0, 1}) {
    SearchRequest request{.first_partition = first, .queries = queries.data(), .rows = 1};
    request.end = 500;
    request.k = 4;
    SearchResult result;
    ASSERT_TRUE(index_->Search(request, &result).has_value());
    EXPECT_EQ(result.lse_exact, first == 1);
    if (first == 1) continue;
    request.partition_count = 2;
    ASSERT_TRUE(index_->Search(request, &result).has_value());
    EXPECT_FALSE(result.lse_exact);
  }
}

TEST_F(FaissGpuIndexTest, OneCallAndOneWaitALayer) {
  Make(2, 3);
  Add(0, 6, 400);
  Add(0, 3, 1);  // makes room
  Search(0, 3, 0, 400, 8);
  const DeviceCounts before = device_->Counts();
  const auto runs = cuda_on_cpu::Counts();
  Search(3, 3, 0, 400, 8);
  EXPECT_EQ(cuda_on_cpu::Counts().launches - runs.launches, 1u);
  EXPECT_EQ(device_->Counts().waits - before.waits, 1u);
  EXPECT_EQ(device_->Counts().copies - before.copies, 2u);
  // A block of a whole layer is one copy.
  Add(3, 3, 1);
  EXPECT_EQ(device_->Counts().copies - before.copies, 3u);
}

TEST_F(FaissGpuIndexTest, AnyCallMayFail) {
  Make(1, 2);
  Add(0, 2, 100);
  const auto queries = random_.Normals(2 * kDim);
  SearchRequest request{.partition_count = 2, .queries = queries.data(), .rows = 1, .end = 100};
  request.k = 3;
  const auto blocks = random_.Normals(2 * 100 * kDim);
  int failed = 0;
  for (int call = 1;; ++call) {
    cuda_on_cpu::FailCall(call);
    SearchResult result;
    const bool searched = index_->Search(request, &result).has_value();
    const bool added = index_->Add(0, 2, 100, blocks.data()).has_value();
    const bool none = cuda_on_cpu::FailureIsDue();
    cuda_on_cpu::FailCall(0);
    EXPECT_EQ(index_->size(0), added ? 200 : 100);
    index_->Truncate(0, 2, 100);
    Search(0, 2, 0, 100, 5);
    if (none) break;
    EXPECT_FALSE(searched && added) << "call " << call;
    ++failed;
  }
  EXPECT_GE(failed, 5);
}

TEST_F(FaissGpuIndexTest, GivesAllBack) {
  const size_t before = cuda_on_cpu::Leftovers();
  Make(2, 2);
  Add(0, 4, 100);
  Search(0, 2, 0, 100, 5);
  EXPECT_GT(index_->memory_bytes(), 0u);
  EXPECT_GT(cuda_on_cpu::Leftovers(), before);
  index_.reset();
  EXPECT_EQ(cuda_on_cpu::Leftovers(), before);
}

}  // namespace
}  // namespace cairn
