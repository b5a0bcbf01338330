// Runs: how records are parted, where blocks are found, what a cut takes, which bytes are in use.
#include "storage/run_map.h"

#include <algorithm>

#include "store_fixture.h"

namespace cairn {
namespace {

std::vector<BlockRun> Runs(const std::vector<BlockId>& ids, size_t payload_bytes,
                           uint64_t most_bytes = UINT64_MAX) {
  const std::vector<std::byte> payload(payload_bytes);
  std::vector<BlockRecord> records;
  for (const BlockId& id : ids) records.push_back({id, payload});
  return RunsOf(records, most_bytes);
}

TEST(BlockRun, RecordsOfAGridAreOneRun) {
  const std::vector<BlockId> ids = BlocksOf(7, 3, 5, 3, 2);
  const auto runs = Runs(ids, 100);
  ASSERT_EQ(runs.size(), 1u);
  for (size_t i = 0; i < ids.size(); ++i) {
    EXPECT_EQ(runs[0].IndexOf(ids[i]), i);
    EXPECT_EQ(runs[0].At(i), ids[i]);
  }
  for (const BlockId& id : {BlockId{7, 2, 2, 1},
                            {7, 8, 0, 0},
                            {7, 4, 3, 0},
                            {7, 4, 0, 2},
                            {6, 4, 0, 0},
                            {8, 4, 0, 0}}) {
    EXPECT_FALSE(runs[0].IndexOf(id)) << ToString(id);
  }
  EXPECT_EQ(Runs(ids, 100, 1000).size(), 3u);
  EXPECT_EQ(Runs(ids, 100, 1).size(), 30u);
}

TEST(BlockRun, AnySortedRecordsAreFoundInTheirRuns) {
  std::mt19937_64 random = SeededRandom();
  for (int round = 0; round < 50; ++round) {
    std::vector<BlockId> ids, others;
    for (const uint64_t extent : {1, 2}) {
      for (const BlockId& id : BlocksOf(extent, 0, 10, 4, 3)) {
        (Pick(random, 1 + Pick(random, 30)) > 0 ? ids : others).push_back(id);
      }
    }
    RunMap map;
    uint64_t blocks = 0;
    for (const BlockRun& run : Runs(ids, 10)) {
      EXPECT_EQ(run.first, ids[blocks]);
      blocks += run.blocks;
      map.Add({.run = run});
    }
    EXPECT_EQ(blocks, ids.size());
    for (size_t i = 0; i < ids.size(); ++i) ASSERT_NE(map.Find(ids[i]), nullptr);
    for (const BlockId& id : others) EXPECT_EQ(map.Find(id), nullptr) << ToString(id);
  }
}

TEST(BlockRun, EntriesComeBackAndDamageIsFound) {
  BlockRun run = Runs(BlocksOf(7, 3, 5, 3, 2), 100)[0];
  run.segment = 9;
  run.offset = 5 * kSegmentPageBytes;
  const std::string key = RunKey(run.first), value = EncodeRun(run);
  EXPECT_EQ(DecodeRun(key, value).value(), run);
  EXPECT_EQ(FirstInRunKey(key).value(), run.first);
  const std::vector<uint64_t> checksums = {1, 2, 3};
  const std::string other = ChecksumsKey(run.first), sums = EncodeChecksums(run.first, checksums);
  EXPECT_EQ(DecodeChecksums(other, sums, 3).value(), checksums);
  EXPECT_EQ(DecodeChecksums(other, sums, 2).value(), checksums);
  EXPECT_ERROR(DecodeChecksums(other, sums, 4), Errc::kCorruption, "c/");
  for (size_t i = 0; i < value.size(); ++i) {
    std::string damaged = value;
    damaged[i] ^= 1;
    EXPECT_ERROR(DecodeRun(key, damaged), Errc::kCorruption, "r/");
  }
  EXPECT_ERROR(DecodeRun(RunKey({8, 3, 0, 0}), value), Errc::kCorruption, "r/");
  run.offset = 17;
  EXPECT_ERROR(DecodeRun(key, EncodeRun(run)), Errc::kCorruption, "form");
}

TEST(RunMap, ACutTakesWholeRunsAndTheEndOfOne) {
  RunMap map;
  for (const auto& [first, count] : {std::pair<uint32_t, uint32_t>{0, 4}, {4, 4}, {8, 2}}) {
    BlockRun run = Runs(BlocksOf(1, first, count, 2, 2), 1000)[0];
    run.segment = 1 + first / 8;
    run.offset = first * kSegmentPageBytes;
    map.Add({.run = run});
  }
  map.Add({.run = Runs(BlocksOf(2, 0, 3, 1, 1), 10)[0]});
  EXPECT_EQ(map.LastOf(1), (BlockId{1, 9, 1, 1}));
  EXPECT_TRUE(map.PlanCut(1, 10).empty());
  EXPECT_TRUE(map.PlanCut(3, 0).empty());
  const RunMap::Cut cut = map.PlanCut(1, 5);
  EXPECT_EQ(cut.gone, (std::vector<BlockId>{{1, 8, 0, 0}}));
  ASSERT_TRUE(cut.shortened);
  EXPECT_EQ(cut.shortened->blocks, 4u);
  map.Apply(cut);
  EXPECT_NE(map.Find({1, 4, 1, 1}), nullptr);
  EXPECT_EQ(map.Find({1, 5, 0, 0}), nullptr);
  EXPECT_EQ(map.Extents(), (std::vector<uint64_t>{1, 2}));
  const auto in_use = map.InUse();
  ASSERT_EQ(in_use.at(1).size(), 2u);
  EXPECT_EQ(in_use.at(1)[0].end, 4 * kSegmentPageBytes);
  EXPECT_EQ(in_use.at(1)[1].end, 5 * kSegmentPageBytes);
  EXPECT_FALSE(in_use.contains(2));
  EXPECT_EQ(map.payload_bytes(), 20'000u + 30);
}

}  // namespace
}  // namespace cairn
