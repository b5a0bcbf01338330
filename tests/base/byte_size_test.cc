#include "base/byte_size.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace cairn {
namespace {

TEST(ByteSizeTest, ParsesUnits) {
  const std::pair<const char*, uint64_t> cases[] = {
      {"0", 0},
      {"1", 1},
      {"1073741824", kGiB},
      {"17B", 17},
      {"4KiB", 4 * kKiB},
      {"4 KiB", 4 * kKiB},
      {"512MiB", 512 * kMiB},
      {"1.5GiB", kGiB + kGiB / 2},
      {"0.5KiB", 512},
      {"2TiB", 2048 * kGiB},
  };
  for (const auto& [text, bytes] : cases) {
    const auto parsed = ParseByteSize(text);
    ASSERT_TRUE(parsed.has_value()) << text << ": " << parsed.error().message;
    EXPECT_EQ(parsed.value(), bytes) << text;
  }
}

TEST(ByteSizeTest, RefusesEverythingElse) {
  for (const char* text : {"", " ", "KiB", "-1KiB", "1KB", "1kib", "1 KiB ", "1e3", "inf", "nan",
                           "0x10", "5 K iB", "99999999TiB", "1,5GiB"}) {
    const auto parsed = ParseByteSize(text);
    ASSERT_FALSE(parsed.has_value()) << text << " became " << parsed.value();
    EXPECT_EQ(parsed.error().code, Errc::kInvalidArgument);
    EXPECT_NE(parsed.error().message.find(std::string("'") + text + "'"), std::string::npos);
    EXPECT_NE(parsed.error().message.find("512MiB"), std::string::npos) << "shows no example";
  }
}

TEST(ByteSizeTest, Formats) {
  EXPECT_EQ(FormatByteSize(0), "0 B");
  EXPECT_EQ(FormatByteSize(1023), "1023 B");
  EXPECT_EQ(FormatByteSize(kKiB), "1.0 KiB");
  EXPECT_EQ(FormatByteSize(kKiB + 512), "1.5 KiB");
  EXPECT_EQ(FormatByteSize(64 * kMiB), "64.0 MiB");
  EXPECT_EQ(FormatByteSize(kGiB + kGiB / 2), "1.5 GiB");
  EXPECT_EQ(FormatByteSize(5 * 1024 * 1024 * kGiB), "5120.0 TiB");
}

}  // namespace
}  // namespace cairn
