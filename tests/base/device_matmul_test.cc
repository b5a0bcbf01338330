// Products on a device, whether a GPU or the stand-in of tests/support/cuda_on_cpu.
#include "base/device_matmul.h"

#include <gtest/gtest.h>

#include <optional>
#include <utility>

#include "tests/base/device_product.h"

namespace cairn {
namespace {

// Sums in f32 stay below it. Numbers rounded to TF32 would not: they are off by up to 5e-4.
constexpr double kTolerance = 1e-5;

class DeviceMatmulTest : public ::testing::Test {
 protected:
  void SetUp() override {
    if (Device::Count() == 0) GTEST_SKIP() << "no GPU here";
    device_ = Device::Open(0).value();
    auto matmul = DeviceMatmul::Open(*device_);
    if (!matmul && matmul.error().code == Errc::kUnsupported)
      GTEST_SKIP() << matmul.error().message;
    matmul_ = std::move(matmul).value();
  }
  void ExpectRight(DType type, int64_t n, int64_t k, int64_t rows) {
    SCOPED_TRACE(testing::Message()
                 << DTypeName(type) << ": " << rows << " rows, " << n << " x " << k);
    DeviceProduct product(*device_, type, n, k, rows, static_cast<uint64_t>(n + k + rows));
    const Status status = product.Multiply(*matmul_);
    ASSERT_TRUE(status) << status.error().message;
    EXPECT_LE(product.WorstError(product.Result()), kTolerance);
  }

  std::unique_ptr<Device> device_;
  std::optional<DeviceMatmul> matmul_;
};

constexpr int64_t kRows[] = {1, 2, 3, 17, 256};

TEST_F(DeviceMatmulTest, Bf16EqualsPlainLoops) {
  const std::pair<int64_t, int64_t> sizes[] = {{8, 8}, {64, 24}, {40, 200}, {7, 64}, {130, 72}};
  for (const auto& [n, k] : sizes) {
    for (const int64_t rows : kRows) ExpectRight(DType::kBF16, n, k, rows);
  }
}

TEST_F(DeviceMatmulTest, F32OfAnySizeEqualsPlainLoops) {
  const std::pair<int64_t, int64_t> sizes[] = {{1, 1},  {5, 3},   {13, 7},   {64, 64},
                                               {30, 1}, {1, 200}, {130, 63}, {63, 130}};
  for (const auto& [n, k] : sizes) {
    for (const int64_t rows : kRows) ExpectRight(DType::kF32, n, k, rows);
  }
}

TEST_F(DeviceMatmulTest, TheSameProductHasTheSameBits) {
  DeviceProduct product(*device_, DType::kBF16, 96, 64, 17, 1);
  ASSERT_TRUE(product.Multiply(*matmul_));
  const std::vector<float> first = product.Result();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(product.Multiply(*matmul_));
    EXPECT_EQ(product.Result(), first);
  }
}

TEST_F(DeviceMatmulTest, OfNoRowsNothingIsDone) {
  DeviceStream stream = device_->MakeStream().value();
  EXPECT_TRUE(matmul_->Multiply(DType::kF32, nullptr, 8, 8, nullptr, 0, nullptr, stream));
}

TEST_F(DeviceMatmulTest, RowsOfBf16ThatAreNotAlignedAreRefused) {
  DeviceProduct product(*device_, DType::kBF16, 8, 12, 2, 1);
  const Status status = product.Multiply(*matmul_);
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::kUnsupported);
  EXPECT_EQ(status.error().message.rfind("rows of 12 numbers of bf16", 0), 0u)
      << status.error().message;
}

}  // namespace
}  // namespace cairn
