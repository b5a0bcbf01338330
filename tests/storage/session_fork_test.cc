// Forks: sessions that share sealed blocks, and go on and are deleted without harm to each other.
#include "catalog_fixture.h"
#include "storage/catalog_format.h"
#include "storage/faulty_cold_store.h"

namespace cairn {
namespace {

class SessionFork : public StoreTest {
 protected:
  /// Session "a": six blocks of two commits, tokens 1 to 5, a tail.
  SessionRecord MakeSource(SessionCatalog& catalog) {
    SessionRecord record = NewSession(catalog, "a");
    EXPECT_TRUE(Extend(cold(), catalog, record, 4, {1, 2, 3}, "first"));
    EXPECT_TRUE(Extend(cold(), catalog, record, 2, {4, 5}, "tail"));
    return record;
  }
  /// As a writer does that has opened the session: it goes on in an extent of its own.
  Status GoOn(SessionCatalog& catalog, const std::string& name, uint32_t blocks, uint32_t token,
              const std::string& tail) {
    CAIRN_TRY(SessionRecord record, catalog.Find(name));
    CAIRN_TRY(const uint64_t extent, catalog.NewExtent());
    record.ranges.push_back({extent, 0, 0});
    return Extend(cold(), catalog, record, blocks, {token}, tail);
  }
};

TEST_P(SessionFork, SharesBlocksAndHasEntriesOfItsOwn) {
  SessionCatalog catalog = OpenCatalog(cold());
  const SessionRecord source = MakeSource(catalog);
  const uint64_t written = cold().Stats().bytes_written;
  const Result<SessionRecord> fork = catalog.Fork(source, "b", std::nullopt);
  ASSERT_GOOD(fork);
  EXPECT_EQ(cold().Stats().bytes_written, written);
  EXPECT_NE(fork.value().id, source.id);
  EXPECT_EQ(fork.value().ranges, source.ranges);
  EXPECT_EQ(fork.value().properties, source.properties);
  EXPECT_EQ(fork.value().commits, 1u);
  ExpectSame(catalog.Find("b").value(), fork.value());
  ExpectSame(catalog.Find("a").value(), source);
  for (const char* name : {"a", "b"}) {
    ExpectWhole(cold(), catalog, name, {1, 2, 3, 4, 5}, "tail");
  }
  EXPECT_ERROR(catalog.Fork(source, "b", std::nullopt), Errc::kExists, "'b'");
  EXPECT_ERROR(catalog.Fork(source, "a", std::nullopt), Errc::kExists, "'a'");
  EXPECT_ERROR(catalog.Fork(source, ".b", std::nullopt), Errc::kInvalidArgument, "letters");
}

TEST_P(SessionFork, EndsAtItsPoint) {
  SessionCatalog catalog = OpenCatalog(cold());
  MakeSource(catalog);
  ASSERT_GOOD(GoOn(catalog, "a", 3, 6, "other tail"));
  const SessionRecord source = catalog.Find("a").value();
  for (const uint64_t blocks : {0, 3, 6, 7, 9}) {
    const std::string name = fmt::format("b{}", blocks);
    const ForkPoint point{.blocks = blocks, .tokens = blocks / 2, .properties = name};
    const Result<SessionRecord> fork = catalog.Fork(source, name, point);
    ASSERT_GOOD(fork);
    EXPECT_EQ(fork.value().properties, name);
    uint64_t covered = 0;
    for (const ExtentRange& range : fork.value().ranges) covered += range.count;
    EXPECT_EQ(covered, blocks);
    const std::vector<uint32_t> tokens = {1, 2, 3, 4, 5, 6};
    ExpectWhole(cold(), catalog, name,
                {tokens.begin(), tokens.begin() + static_cast<int64_t>(blocks / 2)}, "");
  }
  EXPECT_EQ(catalog.Delete("a").value(), 0u);   // b9 has all of it
  EXPECT_EQ(catalog.Delete("b9").value(), 2u);  // b7 has all but two
  EXPECT_EQ(catalog.Delete("b3").value(), 0u);
  ExpectWhole(cold(), catalog, "b7", {1, 2, 3}, "");
  EXPECT_FALSE(ReadOne(cold(), {source.ranges[1].extent, 1, 0, 0}, kTestGrid.payload_bytes));
}

TEST_P(SessionFork, BothGoOnAndEitherMayBeDeleted) {
  for (const std::string deleted : {"a", "b"}) {
    const std::string other = deleted == "a" ? "b" : "a";
    {
      SessionCatalog catalog = OpenCatalog(cold());
      const SessionRecord source = MakeSource(catalog);
      ASSERT_GOOD(catalog.Fork(source, "b", std::nullopt));
    }
    for (const std::string name : {"b", "a", "b", "a"}) {
      Reopen();
      SessionCatalog catalog = OpenCatalog(cold());
      ASSERT_GOOD(GoOn(catalog, name, 2, name == "a" ? 7 : 8, name));
    }
    {
      SessionCatalog catalog = OpenCatalog(cold());
      ExpectWhole(cold(), catalog, "a", {1, 2, 3, 4, 5, 7, 7}, "a");
      ExpectWhole(cold(), catalog, "b", {1, 2, 3, 4, 5, 8, 8}, "b");
      ASSERT_GOOD(catalog.Delete(deleted));
      EXPECT_EQ(cold().Extents().value().size(), 3u);
    }
    Reopen();
    SessionCatalog catalog = OpenCatalog(cold());
    const uint32_t token = other == "a" ? 7 : 8;
    ExpectWhole(cold(), catalog, other, {1, 2, 3, 4, 5, token, token}, other);
    ASSERT_GOOD(GoOn(catalog, other, 1, 9, "end"));
    ExpectWhole(cold(), catalog, other, {1, 2, 3, 4, 5, token, token, 9}, "end");
    ASSERT_GOOD(catalog.Delete(other));
    EXPECT_TRUE(cold().Extents().value().empty());
    EXPECT_EQ(cold().ScanMeta("").value().size(), 2u);  // "format" and "next"
  }
}

/// A session that is open goes on in its extent, behind what the fork covers.
TEST_P(SessionFork, OfAnOpenSessionIsUnharmedByItAndDoesNotHarmIt) {
  SessionCatalog catalog = OpenCatalog(cold());
  SessionRecord source = MakeSource(catalog);
  const uint64_t extent = source.ranges[0].extent;
  ASSERT_GOOD(catalog.Fork(source, "b", std::nullopt));
  ASSERT_GOOD(catalog.Fork(source, "c", ForkPoint{.blocks = 3, .tokens = 3}));
  ASSERT_GOOD(Extend(cold(), catalog, source, 2, {6}, "more"));
  // Written and not committed: a deleted fork must not take it along.
  ASSERT_GOOD(WriteAll(cold(), BlocksOf(extent, 8, 1, 2, 1), kTestGrid.payload_bytes));
  ASSERT_GOOD(catalog.Delete("b"));
  ASSERT_GOOD(catalog.Delete("c"));
  ExpectReads(cold(), {extent, 8, 1, 0}, kTestGrid.payload_bytes);
  ExpectWhole(cold(), catalog, "a", {1, 2, 3, 4, 5, 6}, "more");
}

INSTANTIATE_TEST_SUITE_P(Stores, SessionFork, testing::Values("memory", "rocks"));

/// Fails every operation in turn; afterwards the fork is wholly there or not at all.
TEST(SessionForkFault, AnAbortedForkLeavesNothing) {
  FailEachCall([](ColdStore& cold, WithFault with_fault) {
    SessionCatalog catalog = OpenCatalog(cold);
    SessionRecord source = NewSession(catalog, "a");
    ASSERT_GOOD(Extend(cold, catalog, source, 3, {1, 2}, "tail"));
    const MetaEntries before = cold.ScanMeta("").value();
    const bool made =
        with_fault([&] { return catalog.Fork(source, "b", std::nullopt).has_value(); });
    if (!made) {
      EXPECT_EQ(cold.ScanMeta("").value(), before);
    }
    SessionCatalog reopened = OpenCatalog(cold);
    ExpectWhole(cold, reopened, "a", {1, 2}, "tail");
    if (made) ExpectWhole(cold, reopened, "b", {1, 2}, "tail");
  });
}

/// One that is made although its making failed has its number for itself.
TEST(SessionForkFault, AForkThatIsFoundAfterAnErrorSharesNoEntries) {
  MemoryColdStore memory;
  FaultyColdStore cold(memory);
  SessionCatalog catalog = OpenCatalog(cold);
  SessionRecord source = NewSession(catalog, "a");
  ASSERT_GOOD(Extend(cold, catalog, source, 3, {1, 2}, "tail"));
  cold.FailAfterWriteMeta();
  EXPECT_ERROR(catalog.Fork(source, "b", std::nullopt), Errc::kIo, "took effect");
  SessionRecord c = NewSession(catalog, "c");
  ASSERT_GOOD(Extend(cold, catalog, c, 1, {7}, "c"));
  SessionCatalog reopened = OpenCatalog(cold);
  ExpectWhole(cold, reopened, "b", {1, 2}, "tail");
  ExpectWhole(cold, reopened, "c", {7}, "c");
  ASSERT_GOOD(reopened.Delete("c"));
  ExpectWhole(cold, reopened, "b", {1, 2}, "tail");
}

TEST_P(SessionFork, ARenamedSessionIsTheSame) {
  SessionCatalog catalog = OpenCatalog(cold());
  SessionRecord source = MakeSource(catalog);
  ASSERT_GOOD(catalog.Create("taken", ""));
  EXPECT_ERROR(catalog.Rename("a", "taken"), Errc::kExists, "'taken'");
  EXPECT_ERROR(catalog.Rename("a", "a"), Errc::kExists, "'a'");
  EXPECT_ERROR(catalog.Rename("none", "b"), Errc::kNotFound, "'none'; there are: a, taken");
  EXPECT_ERROR(catalog.Rename("a", "b/"), Errc::kInvalidArgument, "letters");
  ExpectSame(catalog.Find("a").value(), source);
  ASSERT_GOOD(catalog.Rename("a", "b"));
  source.name = "b";
  EXPECT_ERROR(catalog.Find("a"), Errc::kNotFound, "'a'");
  ExpectSame(catalog.Find("b").value(), source);
  Reopen();
  SessionCatalog reopened = OpenCatalog(cold());
  ExpectWhole(cold(), reopened, "b", {1, 2, 3, 4, 5}, "tail");
  ASSERT_GOOD(GoOn(reopened, "b", 1, 6, ""));
  ExpectWhole(cold(), reopened, "b", {1, 2, 3, 4, 5, 6}, "");
}

}  // namespace
}  // namespace cairn
