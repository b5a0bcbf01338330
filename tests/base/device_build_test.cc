// What this build says of devices. What a device does is tested on a CPU (device_test.cc), and by
// tools/gpu-check where there is one.
#include <gtest/gtest.h>

#include "base/device.h"

namespace cairn {
namespace {

TEST(DeviceBuild, WithoutADeviceOpeningOneSaysWhatIsMissing) {
  if (Device::Count() > 0) GTEST_SKIP() << "this machine has a GPU";
  const auto device = Device::Open(0);
  ASSERT_FALSE(device.has_value());
  if (CAIRN_TEST_HAS_CUDA) {
    EXPECT_EQ(device.error().code, Errc::kNotFound);
    EXPECT_EQ(device.error().message.rfind("CUDA finds no device: ", 0), 0u)
        << device.error().message;
  } else {
    EXPECT_EQ(device.error().code, Errc::kUnsupported);
    EXPECT_NE(device.error().message.find("--device cpu"), std::string::npos);
  }
}

}  // namespace
}  // namespace cairn
