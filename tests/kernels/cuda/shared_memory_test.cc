// Which shapes fit the shared memory of devices that have more or less of it.
#include <gtest/gtest.h>

#include "kernels/cuda/attention.h"
#include "kernels/cuda/device.cuh"
#include "tests/support/cuda_on_cpu/runtime.h"

namespace cairn {
namespace {

class CudaSharedMemory : public testing::Test {
 protected:
  ~CudaSharedMemory() override { cuda_on_cpu::SetSharedMemory(163 << 10); }
};

TEST_F(CudaSharedMemory, BlocksThatDoNotFitAreRefusedByName) {
  const BlockShape large = {1000, 256, DType::kF16};
  cuda::AttendParams params;
  params.rows = 1;
  params.shape = large;
  EXPECT_FALSE(cuda::FitsPrefill(large));
  EXPECT_EQ(cuda::AttendPrefill(params, nullptr).error().message,
            "blocks of 1000 rows of 256 numbers do not fit a CUDA device's shared memory; use "
            "smaller blocks");
  cuda_on_cpu::SetSharedMemory(227 << 10);  // compute capability 9.0
  EXPECT_TRUE(cuda::FitsPrefill(large));
}

TEST_F(CudaSharedMemory, BlocksOfSixtyFourRowsFitEveryDevice) {
  cuda_on_cpu::SetSharedMemory(99 << 10);  // compute capability 8.6, 8.9, 12.0
  for (const DType type : {DType::kF32, DType::kF16, DType::kBF16, DType::kQ8}) {
    EXPECT_TRUE(cuda::FitsPrefill({64, 256, type})) << DTypeName(type);
  }
  const BlockShape larger = {600, 128, DType::kF16};
  EXPECT_FALSE(cuda::FitsPrefill(larger));
  cuda_on_cpu::SetSharedMemory(163 << 10);
  EXPECT_TRUE(cuda::FitsPrefill(larger));
}

__global__ void Nothing() {}

TEST_F(CudaSharedMemory, ALaunchWithLessLeavesRoomForOneWithMore) {
  const auto launch = [](int64_t bytes) {
    return cuda::Launch(Nothing, dim3{1, 1, 1}, bytes, nullptr);
  };
  const auto limit = [] {
    return cuda_on_cpu::SharedLimit(reinterpret_cast<const void*>(&Nothing));
  };
  ASSERT_EQ(launch(150 << 10), nullptr);
  ASSERT_EQ(launch(50 << 10), nullptr);
  // As a launch in another thread finds it that has asked for its memory before.
  EXPECT_GE(limit(), size_t{150 << 10});
  EXPECT_NE(launch(164 << 10), nullptr) << "the device has 163 KiB";
}

}  // namespace
}  // namespace cairn
