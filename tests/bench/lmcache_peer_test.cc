// The peer and its driver, with a stand-in for LMCache; the real one is a package of gigabytes.
#include "bench/lmcache_peer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <numeric>
#include <vector>

namespace cairn {
namespace {

constexpr uint64_t kBlockBytes = 16384;

class LmcachePeerTest : public testing::Test {
 protected:
  /// A peer of the stand-in with this fault.
  static Result<std::unique_ptr<LmcachePeer>> Start(const char* fault) {
    setenv("PYTHONPATH", CAIRN_FAKE_LMCACHE, 1);
    setenv("PYTHONDONTWRITEBYTECODE", "1", 1);
    setenv("FAKE_LMCACHE", fault, 1);
    return LmcachePeer::Start(testing::TempDir());
  }
  static std::vector<uint32_t> Numbers(uint32_t count) {
    std::vector<uint32_t> numbers(count);
    std::iota(numbers.begin(), numbers.end(), 0u);
    return numbers;
  }
};

TEST_F(LmcachePeerTest, FillsAndReadsBlocksOfSeveralSizes) {
  auto peer = Start("");
  ASSERT_TRUE(peer.has_value()) << peer.error().message;
  LmcachePeer& lmcache = *peer.value();
  EXPECT_EQ(lmcache.version(), "9.9");
  for (const uint64_t block_bytes : {kBlockBytes, 4 * kBlockBytes}) {
    const Status filled = lmcache.Fill(block_bytes, 600);
    ASSERT_TRUE(filled.has_value()) << filled.error().message;
  }
  for (const bool direct : {true, false}) {
    EXPECT_TRUE(lmcache.Read(kBlockBytes, direct, Numbers(600)).has_value());
    LadderKey key{.tier = "LMCache", .step = "fetch", .block_bytes = 4 * kBlockBytes, .batch = 64};
    const auto timed = lmcache.MakeCase(key, 600, direct);
    EXPECT_EQ(timed->operation_bytes(), 64 * 4 * kBlockBytes);
    EXPECT_FALSE(timed->cold()) << "its reads are not in our counters";
    const Status ran = timed->Run(0, 20);
    EXPECT_TRUE(ran.has_value()) << ran.error().message;
  }
  const Status unknown = lmcache.Read(kBlockBytes, true, std::vector<uint32_t>{600});
  ASSERT_FALSE(unknown.has_value());
  EXPECT_NE(unknown.error().message.find("KeyError"), std::string::npos) << unknown.error().message;
  EXPECT_TRUE(lmcache.Read(kBlockBytes, true, Numbers(1)).has_value()) << "it goes on";
}

TEST_F(LmcachePeerTest, SaysWhyThereIsNone) {
  for (const auto& [fault, said] :
       {std::pair("absent", "cannot import lmcache"), {"other", "local_disk_backend"}}) {
    const auto peer = Start(fault);
    ASSERT_FALSE(peer.has_value());
    EXPECT_EQ(peer.error().code, Errc::kNotFound);
    EXPECT_NE(peer.error().message.find(said), std::string::npos) << peer.error().message;
  }
}

TEST_F(LmcachePeerTest, BlocksThatAreLostOrWrongAreErrors) {
  auto lossy = Start("lossy");
  ASSERT_TRUE(lossy.has_value());
  ASSERT_TRUE(lossy.value()->Fill(kBlockBytes, 20).has_value());
  const Status lost = lossy.value()->Read(kBlockBytes, true, Numbers(20));
  ASSERT_FALSE(lost.has_value());
  EXPECT_NE(lost.error().message.find("4 of 20 blocks did not come"), std::string::npos)
      << lost.error().message;
  auto liar = Start("liar");
  ASSERT_TRUE(liar.has_value());
  const Status wrong = liar.value()->Fill(kBlockBytes, 20);
  ASSERT_FALSE(wrong.has_value());
  EXPECT_NE(wrong.error().message.find("other bytes"), std::string::npos) << wrong.error().message;
}

}  // namespace
}  // namespace cairn
