// The power is cut while a store is written: what was acknowledged is there afterwards, exactly,
// and of what was in flight all or nothing. CAIRN_TEST_CUTS makes it longer.
#include <cstdlib>
#include <filesystem>

#include "catalog_fixture.h"
#include "store_fixture.h"
#include "tests/support/power_cut_file_system.h"
#include "tests/support/power_cut_run.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;
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

/// A log goes when its changes are in a table file, and the mark names it until it is written anew.
TEST(Kill, InOpeningAfterOneBehindAFlushLosesNothing) {
  const TempDirectory directory;
  const std::string pristine = directory.path() + "/pristine", mark = pristine + "/acknowledged";
  {
    const auto store = OpenRocks(pristine, {.create = true});
    SessionCatalog catalog = OpenCatalog(*store);
    SessionRecord record = NewSession(catalog, "s");
    ASSERT_GOOD(Extend(*store, catalog, record, 3, {1, 2, 3}, "tail"));
    fs::copy_file(mark, directory.path() + "/mark");
    CompactionReport report;
    ASSERT_GOOD(store->Compact([](uint64_t, uint64_t) { return Status(Ok()); }, report));
  }
  fs::copy_file(directory.path() + "/mark", mark, fs::copy_options::overwrite_existing);
  uint64_t killed_at = 0;
  for (bool killed = true; killed;) {
    fs::remove_all(directory.store());
    fs::copy(pristine, directory.store(), fs::copy_options::recursive);
    test::PowerCutDisk disk(directory.store());
    disk.files().CutAt(++killed_at);
    // All changes from there on fail, and what was changed stays.
    (void)RocksColdStore::Open(directory.store(), {.read_threads = 1, .env = disk.env()});
    killed = disk.files().off();
    disk.files().Revive();
    const auto store = OpenRocks(directory.store(), {.env = disk.env()});
    ASSERT_NE(store, nullptr) << "killed at change " << killed_at;
    const SessionCatalog catalog = OpenCatalog(*store);
    ExpectWhole(*store, catalog, "s", {1, 2, 3}, "tail");
  }
  EXPECT_GT(killed_at, 5u);
}

/// One of the segment and one of the catalog's log: each is a round trip to the disk.
TEST(Durability, ACommitEndsWithTwoSyncs) {
  const TempDirectory directory;
  test::PowerCutDisk disk(directory.store());
  const auto store = OpenRocks(directory.store(), {.create = true, .env = disk.env()});
  SessionCatalog catalog = OpenCatalog(*store);
  SessionRecord record = NewSession(catalog, "s");
  ASSERT_GOOD(Extend(*store, catalog, record, 3, {1, 2, 3}, "tail"));
  for (uint32_t token = 4; token < 14; ++token) {
    const uint64_t before = disk.files().syncs();
    ASSERT_GOOD(Extend(*store, catalog, record, 4, {token}, "tail"));
    EXPECT_EQ(disk.files().syncs() - before, 2u) << "commit of token " << token;
  }
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
