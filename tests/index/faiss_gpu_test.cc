// FaissGpu: the k largest products, by FAISS on a GPU or by what stands in for it.
#include "index/faiss_gpu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "index/faiss_gpu_rows.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

struct Case {
  DType type;
  int32_t dim;
  int64_t count, rows;
  int32_t k;
};

class FaissGpuTest : public testing::TestWithParam<Case> {
 protected:
  // Rounded to the type, with `before` numbers in front, on the device; `numbers` become so.
  DeviceBuffer OnDevice(std::vector<float>* numbers, int64_t before) {
    const DType type = GetParam().type;
    const size_t front = static_cast<size_t>(before) * DTypeBytes(type);
    const size_t bytes = front + numbers->size() * DTypeBytes(type);
    auto pinned = device_->AllocatePinned(bytes).value();
    std::memset(pinned.data(), 0xff, front);  // no numbers
    ConvertFromFloat(type, numbers->data(), pinned.data() + front, numbers->size());
    ConvertToFloat(type, pinned.data() + front, numbers->data(), numbers->size());
    auto buffer = device_->Allocate(bytes).value();
    EXPECT_TRUE(stream_.CopyToDevice(buffer.data(), pinned.data(), bytes).has_value());
    EXPECT_TRUE(stream_.Wait().has_value());
    return buffer;
  }

  static double Norm(const float* x, int32_t dim) {
    double sum = 0;
    for (int32_t i = 0; i < dim; ++i) sum += static_cast<double>(x[i]) * x[i];
    return std::sqrt(sum);
  }

  void Check(const float* query, const std::vector<float>& vectors, const float* scores,
             const int32_t* labels) const {
    const Case& c = GetParam();
    std::vector<double> products;
    double largest = 0;
    for (int64_t v = 0; v < c.count; ++v) {
      const float* vector = vectors.data() + v * c.dim;
      double sum = 0;
      for (int32_t i = 0; i < c.dim; ++i) sum += static_cast<double>(query[i]) * vector[i];
      products.push_back(sum);
      largest = std::max(largest, Norm(vector, c.dim));
    }
    std::vector<double> sorted = products;
    std::sort(sorted.rbegin(), sorted.rend());
    const double error = ScoreError(c.type, c.dim, Norm(query, c.dim), largest);
    std::set<int32_t> seen;
    for (int32_t i = 0; i < c.k; ++i) {
      ASSERT_GE(labels[i], 0);
      ASSERT_LT(labels[i], c.count);
      EXPECT_TRUE(seen.insert(labels[i]).second);
      EXPECT_NEAR(scores[i], products[static_cast<size_t>(labels[i])], error);
      EXPECT_NEAR(scores[i], sorted[static_cast<size_t>(i)], error);
      if (i > 0) {
        EXPECT_GE(scores[i - 1], scores[i]);
      }
    }
  }

  std::unique_ptr<Device> device_ = Device::Open(0).value();
  DeviceStream stream_ = device_->MakeStream().value();
  std::unique_ptr<FaissGpu> faiss_ = FaissGpu::Make(*device_, stream_.get()).value();
};

TEST_P(FaissGpuTest, FindsTheLargestProducts) {
  const Case& c = GetParam();
  constexpr int64_t kBefore = 3;  // vectors
  TestRandom random(1);
  auto vectors = random.Normals(static_cast<size_t>(c.count * c.dim));
  auto queries = random.Normals(static_cast<size_t>(c.rows * c.dim));
  const DeviceBuffer vectors_there = OnDevice(&vectors, kBefore * c.dim);
  const DeviceBuffer queries_there = OnDevice(&queries, 0);
  const auto found = static_cast<size_t>(c.rows * c.k);
  const DeviceBuffer there = device_->Allocate(found * 8).value();
  const PinnedBuffer here = device_->AllocatePinned(found * 8).value();
  auto* const scores = reinterpret_cast<float*>(there.data());
  const size_t before = static_cast<size_t>(kBefore * c.dim) * DTypeBytes(c.type);
  for (int repeat = 0; repeat < 2; ++repeat) {
    const Status status = faiss_->Search({.type = c.type,
                                          .dim = c.dim,
                                          .vectors = vectors_there.data() + before,
                                          .count = c.count,
                                          .queries = queries_there.data(),
                                          .rows = c.rows,
                                          .k = c.k,
                                          .scores = scores,
                                          .labels = reinterpret_cast<int32_t*>(scores + found)});
    ASSERT_TRUE(status.has_value()) << status.error().message;
    ASSERT_TRUE(stream_.CopyToHost(here.data(), there.data(), found * 8).has_value());
    ASSERT_TRUE(stream_.Wait().has_value());
    const auto* const scores_here = reinterpret_cast<const float*>(here.data());
    const auto* const labels_here = reinterpret_cast<const int32_t*>(scores_here + found);
    for (const int64_t row : {int64_t{0}, c.rows / 2, c.rows - 1}) {
      Check(queries.data() + row * c.dim, vectors, scores_here + row * c.k,
            labels_here + row * c.k);
    }
  }
}

// The last does not fit what FAISS works in: it goes in several calls.
INSTANTIATE_TEST_SUITE_P(
    Cases, FaissGpuTest,
    testing::Values(Case{DType::kF32, 64, 1000, 9, 128}, Case{DType::kF16, 192, 1000, 9, 128},
                    Case{DType::kF16, 60, 77, 1, 1}, Case{DType::kF16, 20, 1024, 40, 1024},
                    Case{DType::kF32, 7, 1025, 3, 1000}, Case{DType::kF16, 8, 300'000, 130, 32}));

}  // namespace
}  // namespace cairn
