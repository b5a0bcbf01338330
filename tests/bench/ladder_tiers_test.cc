#include "bench/ladder_tiers.h"

#include <gtest/gtest.h>

#include <memory>
#include <numeric>
#include <string>

#include "base/byte_size.h"
#include "tests/support/scratch_directory.h"

namespace cairn {
namespace {

class LadderTiersTest : public ::testing::Test {
 protected:
  static constexpr uint64_t kBlockBytes = 4 * kKiB;

  void SetUp() override {
    auto made = LadderStore::Make(directory_, kBlockBytes, 4 * kMiB, [] { return false; });
    ASSERT_TRUE(made.has_value()) << made.error().message;
    store_ = std::move(made).value();
  }

  static LadderKey Key() {
    return {.tier = "mix", .step = "fetch", .block_bytes = kBlockBytes, .batch = 16};
  }

  /// One turn; what moved must be what the fastest tier, the first that serves, did not have.
  LadderTurn TurnOf(LadderCase& timed, size_t fastest) {
    EXPECT_TRUE(timed.Prepare().has_value());
    auto turn = RunClosedTurn(timed, DeviceCounters(directory_), 0.02, 1);
    timed.Finish();
    EXPECT_TRUE(turn.has_value());
    LadderTurn found = std::move(turn).value();
    EXPECT_EQ(found.served_blocks.size(), 3u);
    const auto& served = found.served_blocks;
    const uint64_t asked = std::accumulate(served.begin(), served.end(), uint64_t{0});
    EXPECT_EQ(asked, found.operations * Key().batch);
    if (timed.operation_bytes() > 0) {
      EXPECT_EQ(found.payload_bytes, (asked - served[fastest]) * kBlockBytes);
    } else {
      EXPECT_EQ(found.payload_bytes, 0u);
    }
    return found;
  }

  const test::ScratchDirectory scratch_;
  const std::string directory_ = scratch_.path();
  std::unique_ptr<LadderStore> store_;
};

TEST_F(LadderTiersTest, WhatIsFoundInPlaceHasNotMoved) {
  const auto zipf = MakeZipfFetch(Key(), *store_);
  const LadderTurn turn = TurnOf(*zipf, 0);
  EXPECT_GT(turn.served_blocks[0], 0u);
  EXPECT_LT(turn.payload_bytes, turn.operations * Key().batch * kBlockBytes);
}

TEST_F(LadderTiersTest, MixesMoveWhatTheSlabLacks) {
  for (const HitMix& mix : {HitMix{75, 25, 0}, {50, 25, 25}, {0, 100, 0}, {0, 0, 100}}) {
    TurnOf(*MakeMixedFetch(Key(), *store_, mix), 0);
  }
  EXPECT_EQ(TurnOf(*MakeMixedFetch(Key(), *store_, {100, 0, 0}), 0).payload_bytes, 0u);
}

TEST_F(LadderTiersTest, WithoutASlabTheHostIsTheFastest) {
  EXPECT_EQ(TurnOf(*MakeHostFetch(Key(), *store_), 1).payload_bytes, 0u);
  const LadderTurn turn = TurnOf(*MakeSsdFetch(Key(), *store_), 1);
  EXPECT_EQ(turn.payload_bytes, turn.served_blocks[2] * kBlockBytes);
}

}  // namespace
}  // namespace cairn
