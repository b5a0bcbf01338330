// What a decode behind a long past is told, and what that takes.
#include "bench/decode_options.h"

#include <gtest/gtest.h>

#include "base/byte_size.h"

namespace cairn {
namespace {

TEST(DecodeOptions, ALimitOfTheHostIsInPlaceOfWhatIsAvailable) {
  DecodeBenchOptions options;
  options.tokens = 1'000'000'000;  // 69 TiB: no machine has it
  ASSERT_TRUE(options.Validate());
  const Status refused = options.CheckHost();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kResource);
  EXPECT_NE(refused.error().message.find(" are available; "), std::string::npos);
  options.host_limit = 1024 * 1024 * kGiB;
  EXPECT_TRUE(options.CheckHost());
  options.host_limit = 1024 * kGiB;
  EXPECT_NE(options.CheckHost().error().message.find("1.0 TiB are allowed by --host-limit; "),
            std::string::npos);
  options.tokens = 10'000;
  EXPECT_TRUE(options.CheckHost());
  options.host_limit = kGiB / 4;  // 0.7 GiB are needed
  EXPECT_EQ(options.CheckHost().error().code, Errc::kResource);
}

}  // namespace
}  // namespace cairn
