// FAISS's own search of the largest products, called by index/faiss_gpu.cc as on a GPU: each of its
// kernels, its tiles and streams, what it finds of what is no number, and the device's memory. On
// tests/support/faiss_on_cpu; the contract of indexes runs over it too.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <span>
#include <vector>

#include "index/faiss_gpu.h"
#include "index/faiss_gpu_index.h"
#include "tests/support/cuda_on_cpu/cuda_runtime.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

// So that FAISS, which asks once, takes tiles of so many vectors if they are short (dim up to 32).
constexpr size_t kDeviceBytes = size_t{8} << 30;
constexpr int64_t kTileOfFloats = 98'304, kTileOfHalves = 196'608;

class LargeDevice : public testing::Environment {
 public:
  void SetUp() override { cuda_on_cpu::SetMemory(kDeviceBytes); }
};
[[maybe_unused]] const auto* const large_device =
    testing::AddGlobalTestEnvironment(std::make_unique<LargeDevice>().release());

struct Found {
  std::vector<float> scores;
  std::vector<int32_t> labels;
};

class FaissOnCpuTest : public testing::Test {
 protected:
  FaissOnCpuTest() { Make(); }
  ~FaissOnCpuTest() override {
    cuda_on_cpu::SetOrderSeed(1);
    cuda_on_cpu::SetMemory(kDeviceBytes);
  }

  void Make() { faiss_ = FaissGpu::Make(*device_, stream_.get()).value(); }

  // Numbers that are f16 too.
  std::vector<float> Numbers(int64_t count) {
    auto numbers = random_.Normals(static_cast<size_t>(count));
    for (float& x : numbers) x = std::round(x * 64) / 64;
    return numbers;
  }

  DeviceBuffer OnDevice(DType type, const std::vector<float>& numbers) {
    auto pinned = device_->AllocatePinned(numbers.size() * DTypeBytes(type)).value();
    ConvertFromFloat(type, numbers.data(), pinned.data(), numbers.size());
    auto buffer = device_->Allocate(pinned.bytes()).value();
    EXPECT_TRUE(stream_.CopyToDevice(buffer.data(), pinned.data(), pinned.bytes()).has_value());
    EXPECT_TRUE(stream_.Wait().has_value());
    return buffer;
  }

  // Vectors and queries are copied before; then the device has no more memory than is in use.
  Found Search(DType type, int32_t dim, const std::vector<float>& vectors,
               const std::vector<float>& queries, int32_t k) {
    const auto rows = static_cast<int64_t>(queries.size()) / dim;
    const auto found = static_cast<size_t>(rows * k);
    const DeviceBuffer vectors_there = OnDevice(type, vectors);
    const DeviceBuffer queries_there = OnDevice(type, queries);
    const DeviceBuffer there = device_->Allocate(found * 8).value();
    const PinnedBuffer here = device_->AllocatePinned(found * 8).value();
    auto* const scores = reinterpret_cast<float*>(there.data());
    cuda_on_cpu::SetMemory(0);
    const Status status = faiss_->Search({.type = type,
                                          .dim = dim,
                                          .vectors = vectors_there.data(),
                                          .count = static_cast<int64_t>(vectors.size()) / dim,
                                          .queries = queries_there.data(),
                                          .rows = rows,
                                          .k = k,
                                          .scores = scores,
                                          .labels = reinterpret_cast<int32_t*>(scores + found)});
    cuda_on_cpu::SetMemory(kDeviceBytes);
    EXPECT_TRUE(status.has_value()) << status.error().message;
    EXPECT_TRUE(stream_.CopyToHost(here.data(), there.data(), found * 8).has_value());
    EXPECT_TRUE(stream_.Wait().has_value());
    const auto* const scores_here = reinterpret_cast<const float*>(here.data());
    const auto* const labels_here = reinterpret_cast<const int32_t*>(scores_here + found);
    return {{scores_here, scores_here + found}, {labels_here, labels_here + found}};
  }

  // The k largest products of each query, which f32 has exactly.
  void SearchAndCheck(DType type, int32_t dim, int64_t count, int64_t rows, int32_t k) {
    const std::vector<float> vectors = Numbers(count * dim), queries = Numbers(rows * dim);
    const Found found = Search(type, dim, vectors, queries, k);
    std::vector<float> products(static_cast<size_t>(count));
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t v = 0; v < count; ++v) {
        products[static_cast<size_t>(v)] =
            std::inner_product(vectors.begin() + v * dim, vectors.begin() + (v + 1) * dim,
                               queries.begin() + row * dim, 0.0f);
      }
      const std::span labels(found.labels.data() + row * k, static_cast<size_t>(k));
      const std::span scores(found.scores.data() + row * k, static_cast<size_t>(k));
      for (size_t i = 0; i < labels.size(); ++i) {
        ASSERT_TRUE(labels[i] >= 0 && labels[i] < count) << "k " << k << " row " << row;
        ASSERT_EQ(scores[i], products[static_cast<size_t>(labels[i])]) << "k " << k;
      }
      EXPECT_EQ(std::set<int32_t>(labels.begin(), labels.end()).size(), labels.size());
      std::partial_sort(products.begin(), products.begin() + k, products.end(), std::greater<>());
      ASSERT_TRUE(std::equal(scores.begin(), scores.end(), products.begin()))
          << "k " << k << " row " << row;
    }
  }

  std::unique_ptr<Device> device_ = Device::Open(0).value();
  DeviceStream stream_ = device_->MakeStream().value();
  std::unique_ptr<FaissGpu> faiss_;
  TestRandom random_;
};

// Its kernels are for up to 1, 32, 64, … 1,024.
TEST_F(FaissOnCpuTest, FindsAnyNumber) {
  uint64_t seed = 0;
  for (const int32_t k : {1, 2, 32, 33, 64, 100, 128, 129, 256, 500, 512, 513, 1024}) {
    cuda_on_cpu::SetOrderSeed(++seed);
    SearchAndCheck(DType::kF32, 6, k, 1, k);
    SearchAndCheck(DType::kF16, 40, 1'100, 1, k);
  }
}

// The last tile has less than k, and what is put in the place of the others must not be found.
TEST_F(FaissOnCpuTest, TilesOfVectors) {
  for (const uint64_t seed : {1, 2, 3}) {
    cuda_on_cpu::SetOrderSeed(seed);
    SearchAndCheck(DType::kF32, 4, 2 * kTileOfFloats + 100, 2, 200);
  }
  SearchAndCheck(DType::kF16, 4, kTileOfHalves, 1, 200);
  SearchAndCheck(DType::kF16, 4, kTileOfHalves + 1, 1, 1);
}

// More than 1,024 of them, which its two streams share.
TEST_F(FaissOnCpuTest, TilesOfQueries) {
  for (const uint64_t seed : {1, 2, 3}) {
    cuda_on_cpu::SetOrderSeed(seed);
    SearchAndCheck(DType::kF32, 4, 70, 2'100, 1);
  }
  SearchAndCheck(DType::kF16, 4, 70, 1'100, 3);
}

// FAISS would allocate what does not fit what it has to work in, and there is nothing left.
TEST_F(FaissOnCpuTest, SeveralCallsWhereOneHasNoRoom) {
  const uint64_t before = cuda_on_cpu::Counts().launches;
  SearchAndCheck(DType::kF16, 2, 190'000, 180, 1);
  EXPECT_EQ(cuda_on_cpu::Counts().launches - before, 4u);  // a product and a choice each
}

TEST_F(FaissOnCpuTest, DoesNotFindWhatIsNoNumber) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const std::vector<float> vectors = {1, std::nanf(""), 3, -kInfinity, 2, kInfinity};
  const Found found = Search(DType::kF32, 1, vectors, {1.0f}, 6);
  EXPECT_EQ(found.labels, (std::vector<int32_t>{5, 2, 4, 0, -1, -1}));
  EXPECT_EQ(found.scores[5], std::numeric_limits<float>::lowest());
}

// Else FAISS, or cuBLAS under it, would end the process.
TEST_F(FaissOnCpuTest, RefusesWhereMemoryIsShort) {
  faiss_.reset();
  for (const size_t mebibytes : {1, 40, 270, 300}) {
    cuda_on_cpu::SetMemory(mebibytes << 20);
    const auto made = FaissGpu::Make(*device_, stream_.get());
    ASSERT_FALSE(made.has_value()) << mebibytes;
    EXPECT_EQ(made.error().code, Errc::kResource);
    EXPECT_NE(made.error().message.find("use --index auto"), std::string::npos);
  }
  cuda_on_cpu::SetMemory(size_t{320} << 20);
  EXPECT_TRUE(FaissGpu::Make(*device_, stream_.get()).has_value());
}

// FAISS takes the last error of the thread for its own, and ends the process.
TEST_F(FaissOnCpuTest, WhatFailedBeforeIsNoConcernOfIts) {
  ASSERT_NE(cudaSetDevice(7), cudaSuccess);
  SearchAndCheck(DType::kF32, 4, 50, 2, 3);
}

TEST_F(FaissOnCpuTest, GivesAllBack) {
  faiss_.reset();
  const size_t before = cuda_on_cpu::Leftovers();
  Make();
  SearchAndCheck(DType::kF16, 4, 50, 2, 3);
  EXPECT_GT(cuda_on_cpu::Leftovers(), before);
  faiss_.reset();
  EXPECT_EQ(cuda_on_cpu::Leftovers(), before);
}

// Of two layers and two heads, with equal blocks, which FAISS finds in an order of its own.
TEST_F(FaissOnCpuTest, AnIndexChoosesTheFirstOfEqualBlocks) {
  constexpr int32_t kDim = 8, kBlocks = 300;
  IndexOptions options;
  options.partitions = 4;
  options.dim = kDim;
  options.kind = IndexKind::kFaiss;
  const auto index = MakeFaissGpuIndex(options, 2, *device_).value();
  const std::vector<float> kinds = Numbers(3 * kDim);
  std::vector<float> vectors;
  for (int32_t i = 0; i < 4 * kBlocks; ++i) {
    const auto kind = kinds.begin() + i % 3 * kDim;
    vectors.insert(vectors.end(), kind, kind + kDim);
  }
  ASSERT_TRUE(index->Add(0, 4, kBlocks, vectors.data()).has_value());
  std::vector<float> queries;  // of the first kind
  for (int i = 0; i < 4; ++i) queries.insert(queries.end(), kinds.begin(), kinds.begin() + kDim);
  SearchRequest request{.partition_count = 4, .queries = queries.data(), .rows = 1};
  request.end = kBlocks;
  request.k = 5;
  SearchResult result;
  ASSERT_TRUE(index->Search(request, &result).has_value());
  for (int32_t p = 0; p < 4; ++p) {
    const auto begin = result.ordinals.begin() + p * 5;
    const auto kind = result.ordinals[static_cast<size_t>(p * 5)];
    EXPECT_LT(kind, 3);
    EXPECT_EQ(std::vector<int64_t>(begin, begin + 5),
              (std::vector<int64_t>{kind, kind + 3, kind + 6, kind + 9, kind + 12}));
  }
}

}  // namespace
}  // namespace cairn
