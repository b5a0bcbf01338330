#include "storage/session_catalog.h"

#include "catalog_fixture.h"
#include "storage/block_format.h"
#include "storage/catalog_format.h"

namespace cairn {
namespace {

constexpr size_t kPayloadBytes = kTestGrid.payload_bytes;

TEST(SessionCatalog, NamesAreChecked) {
  for (const char* good : {"a", "Novel_2", "_x", "3.1-b", "a.b"}) {
    EXPECT_TRUE(SessionCatalog::ValidateName(good).has_value()) << good;
  }
  for (const char* bad : {"", ".", ".a", "-a", "a b", "a/b", "\xc3\xa4", "a\n"}) {
    EXPECT_ERROR(SessionCatalog::ValidateName(bad), Errc::kInvalidArgument, "letters, digits");
  }
  EXPECT_TRUE(SessionCatalog::ValidateName(std::string(128, 'x')).has_value());
  EXPECT_FALSE(SessionCatalog::ValidateName(std::string(129, 'x')).has_value());
}

TEST(SessionCatalog, EntriesHaveTheBytesThatTheDocumentGives) {
  const std::string format("\x01\0\0\0\xab\x6d\x68\x25\xac\x6d\xbb\xa8\x04\0\0\0CAT1", 20);
  EXPECT_EQ(SealValue(kFormatKey, EncodeFormat(1)), format);
  const SessionRecord record{
      .id = 1, .name = "novel", .tokens = 3, .rows = 3, .ranges = {{1, 0, 1}}, .commits = 1};
  const std::string body = EncodeSession(record);
  ASSERT_EQ(body.size(), 64u);
  EXPECT_EQ(body.substr(40, 8), std::string("\x01\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(body.substr(48), std::string("\x01\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0", 16));
  EXPECT_EQ(TokensKey(1, 0), std::string("t/\0\0\0\0\0\0\0\x01/\0\0\0\0\0\0\0\0", 19));
  const SummarySection section{.type = 1,
                               .version = 1,
                               .extent = 1,
                               .layer = 0,
                               .first = 0,
                               .count = 1,
                               .bytes = "\xaa\xbb"};
  EXPECT_EQ(SectionKey(section), std::string("m/\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01", 18));
  EXPECT_EQ(EncodeSection(section), std::string("\x01\0\0\0\x01\0\0\0\xaa\xbb", 10));
}

TEST(SessionCatalog, CreatesFindsAndListsByName) {
  MemoryColdStore cold;
  SessionCatalog catalog = OpenCatalog(cold);
  EXPECT_ERROR(catalog.Find("a"), Errc::kNotFound, "the store has none");
  const SessionRecord b = catalog.Create("b", "{}").value();
  const SessionRecord a = catalog.Create("a", "{\"x\": 1}").value();
  EXPECT_NE(a.id, b.id);
  EXPECT_ERROR(catalog.Create("a", ""), Errc::kExists, "'a'");
  EXPECT_ERROR(catalog.Find("c"), Errc::kNotFound, "no session 'c'; there are: a, b");
  ExpectSame(catalog.Find("a").value(), a);
  const std::vector<SessionRecord> all = catalog.List().value().sessions;
  ASSERT_EQ(all.size(), 2u);
  ExpectSame(all[0], a);
  ExpectSame(all[1], b);
}

TEST(SessionCatalog, IdsAreNeverUsedAgain) {
  MemoryColdStore cold;
  uint64_t extent = 0, session = 0;
  for (int round = 0; round < 4; ++round) {
    SessionCatalog catalog = OpenCatalog(cold);
    const uint64_t next = catalog.NewExtent().value();
    EXPECT_GT(next, extent);
    extent = next;
    const SessionRecord record = catalog.Create("s", "").value();
    EXPECT_GT(record.id, session);
    session = record.id;
    ASSERT_GOOD(catalog.Delete("s"));
  }
}

TEST(SessionCatalog, CommitsAreReadBackAfterAReopen) {
  MemoryColdStore cold;
  SessionRecord record;
  {
    SessionCatalog catalog = OpenCatalog(cold);
    record = NewSession(catalog, "novel");
    ASSERT_GOOD(Extend(cold, catalog, record, 2, {1, 2, 3}, "tail one"));
    ASSERT_GOOD(Extend(cold, catalog, record, 3, {4, 5}, ""));
    ASSERT_GOOD(Extend(cold, catalog, record, 1, {}, "tail three"));
  }
  for (const bool read_only : {true, false}) {
    const SessionCatalog catalog = OpenCatalog(cold, read_only);
    const SessionRecord found = catalog.Find("novel").value();
    ExpectSame(found, record);
    EXPECT_EQ(catalog.ReadTokens(found).value(), (std::vector<uint32_t>{1, 2, 3, 4, 5}));
    EXPECT_EQ(catalog.ReadTokenCounts(found).value(), (std::vector<uint64_t>{3, 2}));
    EXPECT_EQ(catalog.ReadTail(found).value(), "tail three");
    const auto sections = catalog.ReadSections(found, 1, 1).value();
    EXPECT_EQ(JoinedBytes(sections), "010001010102010301040105");
    EXPECT_TRUE(catalog.ReadSections(found, 2, 1).value().empty());
    for (const BlockId& id : BlocksOf(record.ranges[0].extent, 0, 6, 2, 1)) {
      ExpectReads(cold, id, kPayloadBytes);
    }
  }
}

TEST(SessionCatalog, SectionsAreCutToTheRanges) {
  MemoryColdStore cold;
  SessionCatalog catalog = OpenCatalog(cold);
  SessionRecord record = NewSession(catalog, "novel");
  ASSERT_GOOD(Extend(cold, catalog, record, 4, {1}, ""));
  ASSERT_GOOD(Extend(cold, catalog, record, 4, {2}, ""));
  const uint64_t extent = record.ranges[0].extent;
  record.ranges = {{extent, 6, 2}, {extent, 1, 4}};
  EXPECT_EQ(JoinedBytes(catalog.ReadSections(record, 1, 0).value()), "000600070001000200030004");
}

TEST(SessionCatalog, CommitsThatDoNotContinueTheLastAreRefused) {
  MemoryColdStore cold;
  SessionCatalog catalog = OpenCatalog(cold);
  SessionRecord record = NewSession(catalog, "novel");
  SessionCommit commit{.record = record, .new_tokens = {1, 2}};
  commit.record.tokens = 3;
  EXPECT_ERROR(catalog.Commit(commit), Errc::kMismatch, "0 tokens, then 2 new, now 3");
  commit.record.tokens = 2;
  commit.sections.push_back({.count = 3, .bytes = "1234"});
  EXPECT_ERROR(catalog.Commit(commit), Errc::kInvalidArgument, "equal parts");
  ASSERT_GOOD(catalog.Delete("novel"));
  EXPECT_ERROR(catalog.Commit(commit), Errc::kNotFound, "novel");
  ASSERT_GOOD(catalog.Create("novel", ""));
  EXPECT_ERROR(catalog.Commit(commit), Errc::kMismatch, "made anew");
}

TEST(SessionCatalog, AWriterDropsOrphansAndAReaderDoesNot) {
  MemoryColdStore cold;
  SessionRecord record;
  {
    SessionCatalog catalog = OpenCatalog(cold);
    record = NewSession(catalog, "novel");
    ASSERT_GOOD(Extend(cold, catalog, record, 3, {1}, ""));
    ASSERT_GOOD(WriteAll(cold, BlocksOf(record.ranges[0].extent, 3, 2, 2, 1), kPayloadBytes));
    ASSERT_GOOD(WriteAll(cold, BlocksOf(77, 0, 2, 2, 1), kPayloadBytes));
  }
  const uint64_t extent = record.ranges[0].extent;
  OpenCatalog(cold, true);
  ExpectReads(cold, {77, 0, 0, 0}, kPayloadBytes);
  OpenCatalog(cold, false);
  EXPECT_EQ(cold.Extents().value(), (std::vector<uint64_t>{extent}));
  for (const BlockId& id : BlocksOf(extent, 0, 3, 2, 1)) ExpectReads(cold, id, kPayloadBytes);
  EXPECT_FALSE(ReadOne(cold, {extent, 3, 0, 0}, kPayloadBytes).has_value());
}

TEST(SessionCatalog, ANewerFormatIsRefused) {
  MemoryColdStore cold;
  OpenCatalog(cold);
  const std::string key(kFormatKey);
  ASSERT_GOOD(
      cold.WriteMeta({.puts = {{key, SealValue(key, EncodeFormat(kStoreFormatVersion + 1))}}}));
  EXPECT_ERROR(SessionCatalog::Open(cold, true), Errc::kUnsupported, "use a newer cairn");
  EXPECT_ERROR(SessionCatalog::Open(cold, false), Errc::kUnsupported, "format 3");
  ASSERT_GOOD(cold.WriteMeta({.puts = {{key, SealValue(key, EncodeFormat(1))}}}));
  EXPECT_ERROR(SessionCatalog::Open(cold, true), Errc::kUnsupported, "cairn upgrade");
}

// As an empty store it would give out numbers of sessions and extents again.
TEST(SessionCatalog, AStoreThatLostItsFormatIsNoEmptyOne) {
  MemoryColdStore cold;
  OpenCatalog(cold);
  ASSERT_GOOD(cold.WriteMeta({.deletes = {std::string(kFormatKey)}}));
  EXPECT_ERROR(SessionCatalog::Open(cold, true), Errc::kCorruption, "no entry 'format'");
  EXPECT_ERROR(SessionCatalog::Open(cold, false), Errc::kCorruption, "no entry 'format'");
}

TEST(SessionCatalog, AnEmptyStoreIsLeftAloneByAReader) {
  MemoryColdStore cold;
  const SessionCatalog catalog = OpenCatalog(cold, true);
  EXPECT_TRUE(catalog.List().value().sessions.empty());
  EXPECT_TRUE(cold.ScanMeta("").value().empty());
}

TEST(SessionCatalog, DeletingFreesWhatNoOtherSessionUses) {
  MemoryColdStore cold;
  SessionCatalog catalog = OpenCatalog(cold);
  SessionRecord a = NewSession(catalog, "a");
  ASSERT_GOOD(Extend(cold, catalog, a, 4, {1}, "tail"));
  SessionRecord b = NewSession(catalog, "b");
  const uint64_t own = b.ranges[0].extent, shared = a.ranges[0].extent;
  b.ranges = {{shared, 0, 2}, {own, 0, 0}};
  ASSERT_GOOD(Extend(cold, catalog, b, 1, {7}, ""));
  ASSERT_GOOD(catalog.Delete("a"));
  EXPECT_FALSE(ReadOne(cold, {shared, 2, 0, 0}, kPayloadBytes).has_value());
  for (const BlockId& id : BlocksOf(shared, 0, 2, 2, 1)) ExpectReads(cold, id, kPayloadBytes);
  ExpectReads(cold, {own, 0, 1, 0}, kPayloadBytes);
  EXPECT_EQ(JoinedBytes(catalog.ReadSections(b, 1, 0).value()), "000000010000");
  EXPECT_TRUE(cold.ScanMeta(TokensPrefix(a.id)).value().empty());
  ASSERT_GOOD(catalog.Delete("b"));
  EXPECT_TRUE(cold.Extents().value().empty());
  EXPECT_EQ(cold.ScanMeta("").value().size(), 2u);  // "format" and "next"
}

/// Fails every operation in turn; afterwards sessions are wholly there or wholly gone.
TEST(SessionCatalog, AnAbortedDeleteHarmsNoOtherSession) {
  FailEachCall([](ColdStore& cold, WithFault with_fault) {
    SessionCatalog catalog = OpenCatalog(cold);
    SessionRecord a = NewSession(catalog, "a");
    ASSERT_GOOD(Extend(cold, catalog, a, 4, {1, 2}, "tail"));
    SessionRecord b = NewSession(catalog, "b");
    b.ranges.insert(b.ranges.begin(), {a.ranges[0].extent, 0, 2});
    ASSERT_GOOD(Extend(cold, catalog, b, 2, {3}, "other tail"));
    with_fault([&] { return catalog.Delete("a").has_value(); });
    SessionCatalog reopened = OpenCatalog(cold);
    const SessionRecord found = reopened.Find("b").value();
    ExpectSame(found, b);
    EXPECT_EQ(reopened.ReadTokens(found).value(), (std::vector<uint32_t>{3}));
    EXPECT_EQ(reopened.ReadTail(found).value(), "other tail");
    EXPECT_EQ(JoinedBytes(reopened.ReadSections(found, 1, 1).value()), "0100010101000101");
    for (const BlockId& id : BlocksOf(a.ranges[0].extent, 0, 2, 2, 1)) {
      ExpectReads(cold, id, kPayloadBytes);
    }
    const bool kept = reopened.Find("a").has_value();
    EXPECT_EQ(kept, ReadOne(cold, {a.ranges[0].extent, 3, 0, 0}, kPayloadBytes).has_value());
    if (kept) {
      EXPECT_EQ(reopened.ReadTail(a).value(), "tail");
    }
  });
}

/// A commit that fails anywhere leaves the state of the one before.
TEST(SessionCatalog, AnAbortedCommitChangesNothing) {
  FailEachCall([](ColdStore& cold, WithFault with_fault) {
    SessionCatalog catalog = OpenCatalog(cold);
    SessionRecord record = NewSession(catalog, "a");
    ASSERT_GOOD(Extend(cold, catalog, record, 2, {1, 2}, "first"));
    with_fault([&] { return Extend(cold, catalog, record, 2, {3}, "second").has_value(); });
    SessionCatalog reopened = OpenCatalog(cold);
    const SessionRecord found = reopened.Find("a").value();
    const bool second = found.tokens == 3;
    EXPECT_EQ(reopened.ReadTail(found).value(), second ? "second" : "first");
    EXPECT_EQ(reopened.ReadTokens(found).value().size(), second ? 3u : 2u);
    EXPECT_EQ(found.ranges[0].count, second ? 4u : 2u);
    EXPECT_EQ(second, ReadOne(cold, {found.ranges[0].extent, 2, 0, 0}, kPayloadBytes).has_value());
  });
}

TEST(SessionCatalog, EveryFlippedByteOfEveryEntryIsFound) {
  MemoryColdStore cold;
  SessionCatalog catalog = OpenCatalog(cold);
  SessionRecord record = NewSession(catalog, "a");
  ASSERT_GOOD(Extend(cold, catalog, record, 2, {1, 2}, "tail"));
  const auto read_all = [&]() -> Status {
    CAIRN_TRY(SessionCatalog again, SessionCatalog::Open(cold, true));
    CAIRN_TRY(const SessionRecord found, again.Find("a"));
    CAIRN_TRY(again.ReadTokens(found));
    CAIRN_TRY(again.ReadTail(found));
    CAIRN_TRY(again.ReadSections(found, 1, 0));
    CAIRN_TRY(again.ReadSections(found, 1, 1));
    return Ok();
  };
  ASSERT_GOOD(read_all());
  const MetaEntries entries = cold.ScanMeta("").value();
  for (const auto& [key, value] : entries) {
    for (size_t i = 0; i < value.size(); ++i) {
      std::string damaged = value;
      damaged[i] = static_cast<char>(damaged[i] ^ 8);
      ASSERT_GOOD(cold.WriteMeta({.puts = {{key, damaged}}}));
      EXPECT_ERROR(read_all(), Errc::kCorruption, DescribeKey(key));
    }
    ASSERT_GOOD(cold.WriteMeta({.puts = {{key, value}}}));
  }
  ASSERT_GOOD(read_all());
}

TEST(SessionCatalog, MissingTokensAndTailsAreFound) {
  MemoryColdStore cold;
  SessionCatalog catalog = OpenCatalog(cold);
  SessionRecord record = NewSession(catalog, "a");
  ASSERT_GOOD(Extend(cold, catalog, record, 1, {1, 2}, ""));
  ASSERT_GOOD(Extend(cold, catalog, record, 1, {3, 4}, "tail"));
  ASSERT_GOOD(cold.WriteMeta({.deletes = {TokensKey(record.id, 0), TailKey(record.id)}}));
  EXPECT_ERROR(catalog.ReadTokens(record), Errc::kCorruption, "holds the first 0");
  EXPECT_ERROR(catalog.ReadTail(record), Errc::kCorruption, "tail of 4 bytes");
}

}  // namespace
}  // namespace cairn
