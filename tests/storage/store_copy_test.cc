// StoreCopy: all of the sessions and nothing else, also from several views of a store.
#include "storage/store_copy.h"

#include "catalog_fixture.h"
#include "storage/catalog_format.h"
#include "storage/faulty_cold_store.h"
#include "storage/verifier.h"

namespace cairn {
namespace {

constexpr auto kNoWatch = [](uint64_t, uint64_t) -> Status { return Ok(); };

class StoreCopyTest : public StoreTest {
 protected:
  /// Session "a", its fork "b" of five blocks with one of its own, and "c".
  static void MakeSessions(ColdStore& cold) {
    SessionCatalog catalog = OpenCatalog(cold);
    SessionRecord a = NewSession(catalog, "a");
    ASSERT_GOOD(Extend(cold, catalog, a, 4, {1, 2, 3}, "first"));
    a.ranges.push_back({catalog.NewExtent().value(), 0, 0});
    ASSERT_GOOD(Extend(cold, catalog, a, 2, {4, 5}, "tail"));
    SessionRecord b = catalog.Fork(a, "b", ForkPoint{.blocks = 5, .tokens = 4}).value();
    b.ranges.push_back({catalog.NewExtent().value(), 0, 0});
    ASSERT_GOOD(Extend(cold, catalog, b, 1, {6}, ""));
    SessionRecord c = NewSession(catalog, "c");
    ASSERT_GOOD(Extend(cold, catalog, c, 3, {7}, "c"));
  }
  static std::vector<CopiedSession> SessionsOf(ColdStore& cold) {
    std::vector<CopiedSession> sessions;
    const SessionList all = OpenCatalog(cold, true).List().value();
    for (const SessionRecord& record : all.sessions) sessions.push_back({record, kTestGrid});
    return sessions;
  }
  static Status CopyAll(ColdStore& source, StoreCopy& copy) {
    const std::vector<CopiedSession> sessions = SessionsOf(source);
    CAIRN_TRY(copy.CopyBlocks(source, sessions, kNoWatch));
    return copy.CopyCatalog(source, sessions);
  }
  static void ExpectCopied(ColdStore& target) {
    SessionCatalog catalog = OpenCatalog(target);
    ExpectWhole(target, catalog, "a", {1, 2, 3, 4, 5}, "tail");
    ExpectWhole(target, catalog, "b", {1, 2, 3, 4, 6}, "");
    ExpectWhole(target, catalog, "c", {7}, "c");
  }
};

/// The catalog but for what tells where in this very store blocks lie.
MetaEntries EntriesOf(ColdStore& cold) {
  MetaEntries entries = cold.ScanMeta("").value();
  std::erase_if(entries, [](const auto& entry) {
    return entry.first.starts_with("r/") || entry.first.starts_with("c/");
  });
  return entries;
}

TEST_P(StoreCopyTest, TheCopyIsTheSame) {
  MakeSessions(cold());
  const MetaEntries entries = EntriesOf(cold());
  MemoryColdStore memory;
  TempDirectory directory;
  const auto rocks = OpenWriter(directory.store());
  for (ColdStore* target :
       {static_cast<ColdStore*>(&memory), static_cast<ColdStore*>(rocks.get())}) {
    StoreCopy copy(*target);
    ASSERT_GOOD(CopyAll(cold(), copy));
    EXPECT_EQ(EntriesOf(*target), entries);
    EXPECT_EQ(target->Extents().value(), cold().Extents().value());
    ExpectCopied(*target);
  }
  EXPECT_EQ(memory.Stats().bytes_written, cold().Stats().bytes_written);  // shared ones once
  SessionCatalog catalog = OpenCatalog(memory);
  EXPECT_EQ(NewSession(catalog, "d").ranges[0].extent, OpenCatalog(cold()).NewExtent().value());
  EXPECT_TRUE(cold().ScanMeta("s/d").value().empty());
}

TEST_P(StoreCopyTest, WhatNoSessionHasIsLeftOut) {
  MakeSessions(cold());
  SessionCatalog catalog = OpenCatalog(cold());
  const uint64_t nobodys = catalog.NewExtent().value();
  const uint64_t extent = catalog.Find("c").value().ranges[0].extent;
  ASSERT_GOOD(WriteAll(cold(), BlocksOf(nobodys, 0, 1, 2, 1), kTestGrid.payload_bytes));
  ASSERT_GOOD(WriteAll(cold(), BlocksOf(extent, 3, 1, 2, 1), kTestGrid.payload_bytes));
  MemoryColdStore target;
  StoreCopy copy(target);
  ASSERT_GOOD(CopyAll(cold(), copy));
  EXPECT_FALSE(ReadOne(target, {nobodys, 0, 0, 0}, kTestGrid.payload_bytes));
  EXPECT_FALSE(ReadOne(target, {extent, 3, 0, 0}, kTestGrid.payload_bytes));
  ExpectCopied(target);
}

TEST_P(StoreCopyTest, DamageIsAnErrorThatNamesIt) {
  MakeSessions(cold());
  const std::vector<CopiedSession> sessions = SessionsOf(cold());
  const SessionRecord& a = sessions[0].record;
  FaultyColdStore faulty(cold());
  faulty.Damage({a.ranges[0].extent, 2, 1, 0});
  MemoryColdStore target;
  StoreCopy copy(target);
  EXPECT_ERROR(CopyAll(faulty, copy), Errc::kCorruption, "block 2 layer 1");
  faulty.Heal();
  const std::string key = TokensKey(a.id, 3);
  const std::string value = cold().ReadMeta(key).value().value();
  std::string flipped = value;
  flipped[1] ^= 1;
  ASSERT_GOOD(cold().WriteMeta({.puts = {{key, flipped}}}));
  EXPECT_ERROR(CopyAll(faulty, copy), Errc::kCorruption, DescribeKey(key));
  ASSERT_GOOD(cold().WriteMeta({.puts = {{key, value}}, .deletes = {TailKey(a.id)}}));
  EXPECT_ERROR(CopyAll(faulty, copy), Errc::kCorruption, "is not there");
  EXPECT_TRUE(target.ScanMeta("s/").value().empty());
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreCopyTest, testing::Values("memory", "rocks"));

/// Every operation of the source fails in turn, and a writer goes on before the next view.
TEST(StoreCopyViews, ALaterViewGoesOn) {
  bool passed = false;
  for (uint64_t nth = 1; !passed; ++nth) {
    ASSERT_LT(nth, 100u);
    MemoryColdStore memory, target;
    SessionCatalog catalog = OpenCatalog(memory);
    SessionRecord a = NewSession(catalog, "a");
    ASSERT_GOOD(Extend(memory, catalog, a, 4, {1, 2}, "first"));
    SessionRecord b = NewSession(catalog, "b");
    ASSERT_GOOD(Extend(memory, catalog, b, 2, {3}, "b"));
    FaultyColdStore source(memory);
    StoreCopy copy(target);
    source.FailNth(ColdOperation::kAny, nth);
    const std::vector<CopiedSession> first = {{a, kTestGrid}, {b, kTestGrid}};
    Status copied = copy.CopyBlocks(source, first, kNoWatch);
    if (copied) copied = copy.CopyCatalog(source, first);
    passed = copied && source.Armed();
    source.Heal();
    ASSERT_GOOD(Extend(memory, catalog, a, 2, {4}, "tail"));
    ASSERT_GOOD(catalog.Delete("b"));
    const std::vector<CopiedSession> second = {{a, kTestGrid}};
    ASSERT_GOOD(copy.CopyBlocks(source, second, kNoWatch));
    ASSERT_TRUE(copy.CopyCatalog(source, second).has_value());
    SessionCatalog opened = OpenCatalog(target);
    ExpectWhole(target, opened, "a", {1, 2, 4}, "tail");
    EXPECT_EQ(target.Extents().value(), std::vector<uint64_t>{a.ranges[0].extent});
    EXPECT_TRUE(target.ScanMeta(TokensPrefix(b.id)).value().empty());
  }
}

TEST(StoreCopyViews, AWatchEndsTheCopy) {
  MemoryColdStore memory, target;
  SessionCatalog catalog = OpenCatalog(memory);
  SessionRecord a = NewSession(catalog, "a");
  ASSERT_GOOD(Extend(memory, catalog, a, 4, {1, 2}, "first"));
  StoreCopy copy(target);
  EXPECT_ERROR(copy.CopyBlocks(memory, {{a, kTestGrid}},
                               [](uint64_t done, uint64_t total) -> Status {
                                 EXPECT_EQ(total, 8u);
                                 if (done == 0) return Ok();
                                 return Fail(Errc::kInterrupted, "enough");
                               }),
               Errc::kInterrupted, "enough");
}

}  // namespace
}  // namespace cairn
