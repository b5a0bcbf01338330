// The power is cut while a store is written: what was acknowledged is there afterwards, exactly,
// and of what was in flight all or nothing. CAIRN_TEST_CUTS makes it longer.
#include <cstdlib>

#include "store_fixture.h"
#include "tests/support/power_cut_run.h"

namespace cairn {
namespace {

using test::PowerCutCounts;
using test::PowerCutRun;

constexpr uint64_t kRoundsOfAStore = 20;

uint64_t WantedCuts() {
  const char* given = std::getenv("CAIRN_TEST_CUTS");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 150;
}

TEST(PowerCut, WhatWasAcknowledgedIsThereAfterwards) {
  std::mt19937_64 random = SeededRandom();
  PowerCutCounts counts;
  while (counts.cuts < WantedCuts()) {
    const TempDirectory directory;
    const uint64_t seed = random();
    PowerCutRun run(directory.store(), seed);
    for (uint64_t round = 0; round < kRoundsOfAStore; ++round) {
      const Status status = run.Round();
      ASSERT_TRUE(status.has_value()) << "store " << seed << " round " << round << " (after "
                                      << counts.cuts << " cuts): " << status.error().message;
    }
    counts += run.counts();
  }
  std::cout << counts.cuts << " cuts, " << counts.kills << " kills, " << counts.in_opening
            << " of them in opening; " << counts.acknowledged << " acknowledged, in flight "
            << counts.whole << " whole and " << counts.undone << " undone\n";
  EXPECT_GT(counts.acknowledged, counts.cuts);
  EXPECT_GT(counts.whole, 0u);
  EXPECT_GT(counts.undone, 0u);
}

/// The proof above can fail: a sync that is promised and not kept is found.
class BrokenPromise : public testing::TestWithParam<const char*> {};

TEST_P(BrokenPromise, IsFound) {
  std::mt19937_64 random = SeededRandom();
  for (int store = 0; store < 20; ++store) {
    const TempDirectory directory;
    PowerCutRun run(directory.store(), random());
    run.Betray(GetParam());
    for (uint64_t round = 0; round < kRoundsOfAStore; ++round) {
      const Status status = run.Round();
      if (status) continue;
      std::cout << status.error().message << "\n";
      return;
    }
  }
  ADD_FAILURE() << "no cut showed that " << GetParam() << " was not synced";
}

std::string PromiseName(const testing::TestParamInfo<const char*>& info) {
  const char* const names[] = {"Log", "Segments", "Manifest", "Directory", "BlocksDirectory"};
  return names[info.index];
}

INSTANTIATE_TEST_SUITE_P(Of, BrokenPromise,
                         testing::Values(".log", ".seg", "MANIFEST", "db/", "blocks/"),
                         PromiseName);

}  // namespace
}  // namespace cairn
