// Verifier: everything that can be damaged is found and named, and nothing else is.
#include "storage/verifier.h"

#include "catalog_fixture.h"
#include "storage/catalog_format.h"
#include "storage/faulty_cold_store.h"

namespace cairn {
namespace {

constexpr auto kNoWatch = [](uint64_t, uint64_t) -> Status { return Ok(); };

class VerifierTest : public StoreTest {
 protected:
  /// Session "a": four and two blocks in two extents, five tokens, a tail; its fork "b" of the
  /// first five, with a block more; "c", which is on its own.
  void MakeSessions() {
    SessionCatalog catalog = OpenCatalog(cold());
    a_ = NewSession(catalog, "a");
    ASSERT_GOOD(Extend(cold(), catalog, a_, 4, {1, 2, 3}, "first"));
    a_.ranges.push_back({catalog.NewExtent().value(), 0, 0});
    ASSERT_GOOD(Extend(cold(), catalog, a_, 2, {4, 5}, "tail"));
    b_ = catalog.Fork(a_, "b", ForkPoint{.blocks = 5, .tokens = 4}).value();
    b_.ranges.push_back({catalog.NewExtent().value(), 0, 0});
    ASSERT_GOOD(Extend(cold(), catalog, b_, 1, {6}, ""));
    c_ = NewSession(catalog, "c");
    ASSERT_GOOD(Extend(cold(), catalog, c_, 3, {7}, "c"));
  }
  static Verifier Verify(ColdStore& store) {
    Verifier verifier(store);
    const auto records = verifier.CheckStore();
    EXPECT_TRUE(records.has_value()) << records.error().message;
    for (const SessionRecord& record : records.value()) {
      verifier.CheckEntries(record);
      EXPECT_TRUE(verifier.CheckBlocks(record, kTestGrid, kTestSections, kNoWatch));
    }
    return verifier;
  }
  /// What is damaged, a line each.
  static std::vector<std::string> Found(ColdStore& store) {
    std::vector<std::string> lines;
    const Verifier verifier = Verify(store);
    for (const Damage& damage : verifier.damages()) {
      if (damage.block) {
        EXPECT_NE(damage.what.find(ToString(*damage.block)), std::string::npos) << damage.what;
        lines.push_back(
            fmt::format("{} {}.{}", damage.session, damage.ordinal, damage.block->layer));
      } else {
        lines.push_back(fmt::format("{}: {}", damage.session, damage.what));
      }
    }
    return lines;
  }

  SessionRecord a_, b_, c_;
};

TEST_P(VerifierTest, AWholeStoreIsReadOnceAndFoundWhole) {
  MakeSessions();
  Reopen();
  const Verifier verifier = Verify(cold());
  EXPECT_TRUE(verifier.damages().empty()) << verifier.damages()[0].what;
  EXPECT_EQ(verifier.totals().sessions, 3u);
  EXPECT_EQ(verifier.totals().blocks, (6u + 1 + 3) * 2);
  EXPECT_EQ(verifier.totals().payload_bytes, verifier.totals().blocks * 64);
}

TEST_P(VerifierTest, EveryDamagedBlockIsNamedForEverySessionThatHasIt) {
  MakeSessions();
  FaultyColdStore faulty(cold());
  faulty.Damage({a_.ranges[0].extent, 2, 1, 0});
  faulty.Damage({a_.ranges[1].extent, 1, 0, 0});  // behind the fork
  faulty.Damage({b_.ranges[2].extent, 0, 0, 0});
  ASSERT_GOOD(cold().DropExtent(c_.ranges[0].extent, 2));
  const std::vector<std::string> expected = {"a 2.1", "a 5.0", "b 2.1", "b 5.0", "c 2.0", "c 2.1"};
  EXPECT_EQ(Found(faulty), expected);
}

/// It may be whole: nobody must cut it off.
TEST_P(VerifierTest, WhatCannotBeReadIsToldApartFromWhatIsDamaged) {
  MakeSessions();
  FaultyColdStore faulty(cold());
  const BlockId damaged{a_.ranges[0].extent, 1, 0, 0};
  faulty.Damage(damaged);
  for (const Errc code : {Errc::kIo, Errc::kResource}) {
    faulty.Damage({a_.ranges[0].extent, 2, 1, 0}, code);
    const Verifier verifier = Verify(faulty);
    ASSERT_EQ(verifier.damages().size(), 4u);  // of "a" and "b"
    EXPECT_EQ(verifier.Worst()->block, damaged);
    for (const Damage& damage : verifier.damages()) {
      EXPECT_EQ(damage.unreadable(), damage.block != damaged) << damage.what;
      EXPECT_EQ(damage.code, damage.block == damaged ? Errc::kCorruption : code);
    }
  }
  faulty.Heal();
  EXPECT_EQ(Verify(faulty).Worst(), nullptr);
  faulty.FailNth(ColdOperation::kScanMeta, 3);
  const Verifier verifier = Verify(faulty);
  ASSERT_EQ(verifier.damages().size(), 1u);
  EXPECT_TRUE(verifier.Worst()->unreadable());
}

TEST_P(VerifierTest, AnEntryThatIsGoneIsMissed) {
  MakeSessions();
  struct Case {
    std::string key;
    std::string said;
  };
  const SummarySection section{.type = kTestSections, .extent = a_.ranges[0].extent, .layer = 1};
  for (const Case& gone :
       {Case{TokensKey(a_.id, 0), "a: tokens 0 to 2 are not in the store"},
        Case{TokensKey(a_.id, 3), "a: tokens 3 to 4 are not in the store"},
        Case{TailKey(c_.id), "c: the unfinished block: "},
        Case{SectionKey(section), "a: layer 1 has summaries of 0 blocks of"},
        Case{std::string(kNextKey), ": the catalog entry 'next' is not there"}}) {
    const auto value = cold().ReadMeta(gone.key).value();
    ASSERT_TRUE(value.has_value()) << gone.said;
    ASSERT_GOOD(cold().WriteMeta({.deletes = {gone.key}}));
    const std::vector<std::string> found = Found(cold());
    EXPECT_EQ(found.size(), gone.said.find("layer") == std::string::npos ? 1u : 2u);  // and b
    ASSERT_FALSE(found.empty()) << gone.said;
    EXPECT_TRUE(found[0].starts_with(gone.said)) << found[0];
    ASSERT_GOOD(cold().WriteMeta({.puts = {{gone.key, *value}}}));
  }
  EXPECT_TRUE(Found(cold()).empty());
}

TEST_P(VerifierTest, EveryDamagedEntryIsNamed) {
  std::mt19937_64 random = SeededRandom();
  MakeSessions();
  const MetaEntries entries = cold().ScanMeta("").value();
  for (const auto& [key, value] : entries) {
    // What tells where blocks lie is read when a store is opened (rocks_damage_test.cc).
    if (key.starts_with("r/") || key.starts_with("c/")) continue;
    for (int round = 0; round < 5; ++round) {
      std::string damaged = value;
      damaged[Pick(random, static_cast<uint32_t>(value.size()))] ^= 4;
      ASSERT_GOOD(cold().WriteMeta({.puts = {{key, damaged}}}));
      const std::vector<std::string> found = Found(cold());
      ASSERT_FALSE(found.empty()) << DescribeKey(key);
      for (const std::string& line : found) {
        EXPECT_NE(line.find(DescribeKey(key)), std::string::npos) << line;
      }
    }
    ASSERT_GOOD(cold().WriteMeta({.puts = {{key, value}}}));
  }
}

TEST_P(VerifierTest, AScanThatFailsIsDamageAndTheRestIsRead) {
  MakeSessions();
  for (uint64_t nth = 1; nth < 12; ++nth) {
    FaultyColdStore faulty(cold());
    faulty.FailNth(ColdOperation::kScanMeta, nth);
    EXPECT_EQ(Found(faulty).size(), 1u) << nth;
  }
}

TEST_P(VerifierTest, SaysHowFarASessionIsWhole) {
  MakeSessions();
  FaultyColdStore faulty(cold());
  const auto whole = [&] {
    Verifier verifier(faulty);
    const uint64_t tokens = verifier.CheckEntries(a_);
    const auto blocks = verifier.CheckBlocks(a_, kTestGrid, kTestSections, kNoWatch);
    return std::pair(tokens, blocks.value().both());
  };
  EXPECT_EQ(whole(), std::pair(a_.tokens, uint64_t{6}));
  struct Case {
    std::string key;
    uint64_t tokens, blocks;
  };
  const uint64_t first = a_.ranges[0].extent, second = a_.ranges[1].extent;
  for (const Case& entry :
       {Case{TokensKey(a_.id, 0), 0, 6}, Case{TokensKey(a_.id, 3), 3, 6},
        Case{TailKey(a_.id), 5, 6},
        Case{SectionKey({.type = kTestSections, .extent = first, .layer = 1}), 5, 0},
        Case{SectionKey({.type = kTestSections, .extent = second, .layer = 0}), 5, 4}}) {
    const std::string value = cold().ReadMeta(entry.key).value().value();
    std::string damaged = value;
    damaged[3] ^= 1;
    ASSERT_GOOD(cold().WriteMeta({.puts = {{entry.key, damaged}}}));
    EXPECT_EQ(whole(), std::pair(entry.tokens, entry.blocks)) << DescribeKey(entry.key);
    ASSERT_GOOD(cold().WriteMeta({.deletes = {entry.key}}));
    EXPECT_EQ(whole(), std::pair(entry.tokens, entry.blocks)) << DescribeKey(entry.key);
    ASSERT_GOOD(cold().WriteMeta({.puts = {{entry.key, value}}}));
  }
  faulty.Damage({second, 1, 1, 0});
  EXPECT_EQ(whole(), std::pair(uint64_t{5}, uint64_t{5}));
  faulty.Damage({first, 3, 0, 0});
  EXPECT_EQ(whole(), std::pair(uint64_t{5}, uint64_t{3}));
  faulty.Heal();
  faulty.FailNth(ColdOperation::kScanMeta, 1);
  EXPECT_EQ(whole(), std::pair(uint64_t{0}, uint64_t{6}));
  faulty.FailNth(ColdOperation::kScanMeta, 4);  // tokens, two layers, then the second extent's
  EXPECT_EQ(whole(), std::pair(uint64_t{5}, uint64_t{4}));
}

TEST_P(VerifierTest, ANewerFormatIsRefusedAndAWatchEndsTheCheck) {
  MakeSessions();
  Verifier stopped(cold());
  const auto stop = [](uint64_t done, uint64_t total) -> Status {
    EXPECT_LE(done, total);
    return Fail(Errc::kInterrupted, "enough");
  };
  EXPECT_ERROR(stopped.CheckBlocks(a_, kTestGrid, kTestSections, stop), Errc::kInterrupted,
               "enough");
  const std::string key(kFormatKey);
  ASSERT_GOOD(cold().WriteMeta({.puts = {{key, SealValue(key, EncodeFormat(9))}}}));
  Verifier newer(cold());
  EXPECT_ERROR(newer.CheckStore(), Errc::kUnsupported, "use a newer cairn");
}

INSTANTIATE_TEST_SUITE_P(Stores, VerifierTest, testing::Values("memory", "rocks"));

}  // namespace
}  // namespace cairn
