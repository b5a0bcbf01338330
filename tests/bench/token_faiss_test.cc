// FAISS beside the scan, on the stand-in for a device: what fails there is told, and no error.
#include "bench/token_faiss.h"

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/cuda_on_cpu/runtime.h"

namespace cairn {
namespace {

DeviceShape SmallShape() {
  DeviceShape shape;
  shape.layers = shape.kv_heads = shape.group = 2;
  shape.block = {8, 16, DType::kF16};
  shape.tokens = 400;
  shape.retrieve = 3;
  return shape;
}

class TokenFaissTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(rig_.Open());
    const size_t numbers = size_t{2} * 2 * 50 * 16;
    landmarks_ = rig_.Put(std::vector<uint16_t>(numbers, 0x3000)).value();
  }
  Result<FaissTimes> Time() { return TimeFaiss(rig_, SmallShape(), landmarks_.data()); }

  bool stops_ = false;
  std::function<bool(const std::string&)> stop_ = [this](const std::string&) { return stops_; };
  std::unique_ptr<Device> device_ = Device::Open(0).value();
  DeviceRig rig_{*device_, 1, 1, stop_};
  DeviceBuffer landmarks_;
};

TEST_F(TokenFaissTest, WhateverFailsIsAProblem) {
  int failed = 0;
  for (bool due = false; !due; ++failed) {
    cuda_on_cpu::FailCall(failed + 1);
    const auto times = Time();
    due = cuda_on_cpu::FailureIsDue();
    cuda_on_cpu::FailCall(0);
    ASSERT_TRUE(times.has_value()) << times.error().message;
    EXPECT_EQ(times.value().problem.empty(), due) << "call " << failed + 1;
    EXPECT_EQ(times.value().search_seconds.has_value(), due);
    EXPECT_EQ(times.value().flat_seconds.has_value(), due);
    ASSERT_TRUE(rig_.stream().Wait()) << "nothing else has to fail with it";
  }
  EXPECT_GT(failed, 20);
}

TEST_F(TokenFaissTest, WhatDoesNotFitIsAProblem) {
  cuda_on_cpu::SetMemory(landmarks_.bytes());
  const auto times = Time();
  cuda_on_cpu::SetMemory(size_t{64} << 20);
  EXPECT_NE(times.value().problem.find("free and"), std::string::npos) << times.value().problem;
  EXPECT_FALSE(times.value().search_seconds.has_value());
}

TEST_F(TokenFaissTest, StoppingIsAnError) {
  stops_ = true;
  EXPECT_EQ(Time().error().code, Errc::kInterrupted);
}

}  // namespace
}  // namespace cairn
