// That the stand-in for CUDA's run time finds what it is there to find.
#include <gtest/gtest.h>

#include <cstring>

#include "base/device.h"
#include "tests/support/cuda_on_cpu/cuda_runtime.h"
#include "tests/support/cuda_on_cpu/races.h"

namespace cairn {
namespace {

constexpr size_t kBytes = 4096;
constexpr int kSeeds = 40;

class DeviceOnCpuTest : public ::testing::Test {
 protected:
  std::unique_ptr<Device> device_ = Device::Open(0).value();
  DeviceStream stream_ = device_->MakeStream().value();
  DeviceStream other_ = device_->MakeStream().value();
  DeviceBuffer on_device_ = device_->Allocate(kBytes).value();
  PinnedBuffer pinned_ = device_->AllocatePinned(kBytes).value();
  PinnedBuffer back_ = device_->AllocatePinned(kBytes).value();

  // Whether the host has what it wanted after `work`, by seed.
  template <class Work>
  int TimesRight(Work work) {
    int right = 0;
    for (int seed = 0; seed < kSeeds; ++seed) {
      cuda_on_cpu::SetOrderSeed(static_cast<uint64_t>(seed));
      const auto value = static_cast<std::byte>(seed + 1);
      std::memset(pinned_.data(), seed + 1, kBytes);
      std::memset(back_.data(), 0, kBytes);
      work();
      if (back_.data()[0] == value) ++right;
      (void)stream_.Wait();
      (void)other_.Wait();
    }
    return right;
  }
};

TEST_F(DeviceOnCpuTest, ACopyThatNobodyWaitsForIsMissing) {
  const cuda_on_cpu::ExpectedRaces races;
  const int right = TimesRight([&] {
    (void)stream_.CopyToDevice(on_device_.data(), pinned_.data(), kBytes);
    (void)stream_.CopyToHost(back_.data(), on_device_.data(), kBytes);
  });
  EXPECT_LT(right, kSeeds);
}

TEST_F(DeviceOnCpuTest, StreamsWithoutAnEventBetweenThemRunEitherWay) {
  const cuda_on_cpu::ExpectedRaces races;
  const int right = TimesRight([&] {
    (void)stream_.CopyToDevice(on_device_.data(), pinned_.data(), kBytes);
    (void)other_.CopyToHost(back_.data(), on_device_.data(), kBytes);
    (void)other_.Wait();
  });
  EXPECT_GT(right, 0);
  EXPECT_LT(right, kSeeds);
}

TEST_F(DeviceOnCpuTest, ASourceChangedTooEarlyIsCopiedAsItIsThen) {
  const cuda_on_cpu::ExpectedRaces races;
  const int right = TimesRight([&] {
    (void)stream_.CopyToDevice(on_device_.data(), pinned_.data(), kBytes);
    std::memset(pinned_.data(), 0, kBytes);
    (void)stream_.CopyToHost(back_.data(), on_device_.data(), kBytes);
    (void)stream_.Wait();
  });
  EXPECT_LT(right, kSeeds);
}

TEST_F(DeviceOnCpuTest, CopiesAndFillsTakeAMicrosecondByTimedEvents) {
  for (int seed = 0; seed < kSeeds; ++seed) {
    cuda_on_cpu::SetOrderSeed(static_cast<uint64_t>(seed));
    DeviceEvent from = device_->MakeTimedEvent().value(), to = device_->MakeTimedEvent().value();
    DeviceEvent between = device_->MakeEvent().value();
    ASSERT_TRUE(stream_.CopyToDevice(on_device_.data(), pinned_.data(), kBytes));
    ASSERT_TRUE(stream_.Record(from));
    ASSERT_TRUE(stream_.CopyToHost(back_.data(), on_device_.data(), kBytes));
    ASSERT_TRUE(stream_.Record(between));
    ASSERT_TRUE(stream_.Fill(on_device_.data(), 1, kBytes));
    ASSERT_TRUE(stream_.Record(to));
    ASSERT_TRUE(to.Wait());
    EXPECT_FLOAT_EQ(static_cast<float>(to.SecondsSince(from).value()), 2e-6f);
    ASSERT_TRUE(stream_.Record(to));
    if (!to.Passed().value()) {
      EXPECT_NE(to.SecondsSince(from).error().message.find("not ready"), std::string::npos);
    }
    ASSERT_TRUE(stream_.Wait());
  }
}

TEST_F(DeviceOnCpuTest, TheHostCannotTouchDeviceMemory) {
  EXPECT_DEATH(on_device_.data()[0] = std::byte{1}, "");
}

TEST_F(DeviceOnCpuTest, CopiesTakePinnedMemoryAndStayWithinIt) {
  std::byte plain[16] = {};
  EXPECT_FALSE(stream_.CopyToDevice(on_device_.data(), plain, sizeof(plain)));
  EXPECT_FALSE(stream_.CopyToDevice(on_device_.data(), pinned_.data(), kBytes + 1));
  EXPECT_FALSE(stream_.CopyToHost(back_.data(), on_device_.data() + 1, kBytes));
  EXPECT_TRUE(stream_.CopyToDevice(on_device_.data(), pinned_.data(), kBytes));
}

__global__ void WaitForever() {
  if (threadIdx.x == 0) __syncthreads();
}

TEST_F(DeviceOnCpuTest, AKernelThatFailsIsReportedByTheNextWait) {
  cudaLaunchConfig_t config;
  config.blockDim = {2, 1, 1};
  config.stream = stream_.get();
  EXPECT_EQ(cudaLaunchKernelEx(&config, WaitForever), cudaSuccess);
  const Status status = stream_.Wait();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::kIo);
  EXPECT_NE(status.error().message.find("no thread of the block can go on"), std::string::npos)
      << status.error().message;
  cuda_on_cpu::ForgetFailure();
  EXPECT_TRUE(stream_.Wait());
}

TEST_F(DeviceOnCpuTest, OutOfMemorySaysWhatIsFree) {
  cuda_on_cpu::SetMemory(1 << 20);
  const auto buffer = device_->Allocate(2 << 20);
  cuda_on_cpu::SetMemory(size_t{64} << 20);
  ASSERT_FALSE(buffer.has_value());
  EXPECT_EQ(buffer.error().code, Errc::kResource);
  EXPECT_EQ(buffer.error().message,
            "cuda:0 has 1020.0 KiB free and 2.0 MiB were asked for; use a smaller memory budget");
}

TEST_F(DeviceOnCpuTest, EveryWaitAndCopyIsCounted) {
  const cuda_on_cpu::RuntimeCounts before = cuda_on_cpu::Counts();
  DeviceEvent event = device_->MakeEvent().value();
  ASSERT_TRUE(stream_.CopyToDevice(on_device_.data(), pinned_.data(), 8));
  std::byte* const targets[] = {on_device_.data()};
  const std::byte* const sources[] = {pinned_.data()};
  ASSERT_TRUE(stream_.CopyBatchToDevice(targets, sources, 8));
  ASSERT_TRUE(stream_.CopyToHost(back_.data(), on_device_.data(), 8));
  ASSERT_TRUE(stream_.Record(event));
  ASSERT_TRUE(event.Wait());
  ASSERT_TRUE(stream_.Wait());
  const cuda_on_cpu::RuntimeCounts after = cuda_on_cpu::Counts();
  EXPECT_EQ(device_->Counts().waits, after.waits - before.waits);
  EXPECT_EQ(device_->Counts().copies, after.copies - before.copies);
}

TEST_F(DeviceOnCpuTest, WhatAGraphCannotHaveBreaksItsCapture) {
  DeviceEvent event = device_->MakeEvent().value();
  const auto broken = [&](auto&& work) {
    EXPECT_TRUE(stream_.BeginCapture());
    work();
    return !stream_.EndCapture().has_value();
  };
  EXPECT_TRUE(broken([&] { (void)device_->Allocate(8).has_value(); }));
  EXPECT_TRUE(broken([&] { (void)device_->AllocatePinned(8).has_value(); }));
  EXPECT_TRUE(broken([&] { (void)stream_.Wait(); }));
  EXPECT_TRUE(broken([&] { (void)event.Wait(); }));
  EXPECT_TRUE(broken([&] { (void)stream_.WaitFor(event); }));
  EXPECT_FALSE(broken([&] { (void)stream_.Fill(on_device_.data(), 0, 8); }));
}

TEST(DeviceOnCpu, NothingIsLeft) {
  const size_t before = cuda_on_cpu::Leftovers();
  {
    const auto device = Device::Open(0).value();
    const auto buffer = device->Allocate(100).value();
    const auto pinned = device->AllocatePinned(100).value();
    const auto stream = device->MakeStream().value();
    const auto event = device->MakeEvent().value();
    EXPECT_GT(cuda_on_cpu::Leftovers(), before);
  }
  EXPECT_EQ(cuda_on_cpu::Leftovers(), before);
}

TEST(DeviceOnCpu, WithoutOneThereIsNone) {
  cuda_on_cpu::SetDevices(0);
  EXPECT_EQ(Device::Count(), 0);
  const auto device = Device::Open(0);
  cuda_on_cpu::SetDevices(1);
  ASSERT_FALSE(device.has_value());
  EXPECT_EQ(device.error().message,
            "CUDA finds no device: no CUDA-capable device is detected; install NVIDIA's driver, or "
            "use --device cpu");
}

}  // namespace
}  // namespace cairn
