// Tokens, and the names that a server may be called by.
#include "tools/http_guard.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(HttpGuard, Tokens) {
  const std::string one = MakeToken().value(), other = MakeToken().value();
  EXPECT_EQ(one.size(), 32u);
  EXPECT_NE(one, other);
  EXPECT_TRUE(CheckToken(one).has_value());
  for (const std::string& bad : {std::string("short"), std::string(16, ' '), std::string(129, 'a'),
                                 std::string("0123456789abcde/")}) {
    EXPECT_EQ(CheckToken(bad).error().code, Errc::kInvalidArgument) << bad;
  }
  EXPECT_TRUE(EqualInConstantTime("abc", "abc"));
  EXPECT_FALSE(EqualInConstantTime("abc", "abd"));
  EXPECT_FALSE(EqualInConstantTime("abc", "ab"));
  EXPECT_EQ(BelowToken("/tok/a/b", "tok"), "/a/b");
  EXPECT_EQ(BelowToken("/tok/", "tok"), "/");
  EXPECT_EQ(BelowToken("/tok", "tok"), "");
  EXPECT_EQ(BelowToken("tok/a", "tok"), "");
}

TEST(HttpGuard, HostNames) {
  const HostNames all("0.0.0.0", 80);
  EXPECT_TRUE(all.Allows("192.0.2.7"));
  EXPECT_TRUE(all.Allows("192.0.2.7:80"));
  EXPECT_TRUE(all.Allows("[2001:db8::1]:80"));
  EXPECT_FALSE(all.Allows("example.org"));
  EXPECT_FALSE(all.Allows("192.0.2.7:81"));
  const HostNames six("::1", 8080);
  EXPECT_TRUE(six.Allows("[::1]:8080"));
  EXPECT_FALSE(six.Allows("[::2]:8080"));
  EXPECT_FALSE(six.Allows("::1:8080"));
  EXPECT_EQ(HostInUrl("::1"), "[::1]");
  for (const char* written : {"0:0:0:0:0:0:0:1", "::0001"}) {
    const HostNames names(written, 8080);
    EXPECT_TRUE(names.Allows("[::1]:8080")) << written;
    EXPECT_TRUE(names.Allows("[0:0::1]:8080")) << written;
    EXPECT_FALSE(names.Allows("[::2]:8080")) << written;
  }
  EXPECT_TRUE(HostNames("FE80::A", 1).Allows("[fe80::a]:1"));
  const HostNames mapped("::ffff:127.0.0.1", 8080);
  EXPECT_TRUE(mapped.Allows("[::ffff:7f00:1]:8080"));
  EXPECT_TRUE(mapped.Allows("127.0.0.1:8080"));
  EXPECT_FALSE(mapped.Allows("127.0.0.2:8080"));
  EXPECT_TRUE(HostNames("0:0:0:0:0:0:0:0", 1).Allows("[::2]:1"));
}

TEST(HttpGuard, PublicUrls) {
  const auto url = PublicUrl::Parse("https://Name.example:8443/");
  ASSERT_TRUE(url.has_value());
  EXPECT_EQ(url.value().origin, "https://name.example:8443");
  EXPECT_EQ(url.value().host, "name.example:8443");
  EXPECT_EQ(PublicUrl::Parse("http://[2001:db8::1]").value().host, "[2001:db8::1]");
  for (const char* bad : {"", "name.example", "ftp://name.example", "https://", "https:///",
                          "https://name.example/below", "https://name.example?x", "https://a b",
                          "https://me@name.example", "https://name.example\n"}) {
    const auto refused = PublicUrl::Parse(bad);
    ASSERT_FALSE(refused.has_value()) << bad;
    EXPECT_EQ(refused.error().code, Errc::kInvalidArgument) << bad;
  }
}

}  // namespace
}  // namespace cairn
