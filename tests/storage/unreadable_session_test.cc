// A session whose own entry is damaged: nothing of it is thrown away until it is deleted, and the
// others stay usable.
#include "catalog_fixture.h"
#include "storage/catalog_format.h"

namespace cairn {
namespace {

void FlipEntry(ColdStore& cold, const std::string& key) {
  std::string value = cold.ReadMeta(key).value().value();
  value[value.size() / 2] ^= 4;
  ASSERT_GOOD(cold.WriteMeta({.puts = {{key, value}}}));
}

class UnreadableSessionTest : public StoreTest {
 protected:
  /// Sessions "a" (six blocks), "b" (its first three, and two of its own) and "c".
  static void MakeSessions(ColdStore& cold) {
    SessionCatalog catalog = OpenCatalog(cold);
    SessionRecord a = NewSession(catalog, "a");
    ASSERT_GOOD(Extend(cold, catalog, a, 6, {1, 2, 3}, "tail"));
    SessionRecord b = catalog.Fork(a, "b", ForkPoint{.blocks = 3, .tokens = 2}).value();
    b.ranges.push_back({catalog.NewExtent().value(), 0, 0});
    ASSERT_GOOD(Extend(cold, catalog, b, 2, {4}, "b"));
    SessionRecord c = NewSession(catalog, "c");
    ASSERT_GOOD(Extend(cold, catalog, c, 1, {7}, ""));
  }
  static void ExpectB(ColdStore& cold, const SessionCatalog& catalog) {
    ExpectWhole(cold, catalog, "b", {1, 2, 4}, "b");
  }
  static std::vector<std::string> Unreadable(const SessionCatalog& catalog) {
    const SessionList all = catalog.List().value();
    std::vector<std::string> names;
    for (const UnreadableSession& session : all.unreadable) {
      EXPECT_NE(session.what.find("'s/" + session.name + "' is damaged"), std::string::npos);
      names.push_back(session.name);
    }
    return names;
  }
  /// Entries of the catalog without those of sessions themselves.
  static size_t OtherEntries(ColdStore& cold) {
    return cold.ScanMeta("").value().size() - cold.ScanMeta("s/").value().size();
  }
};

TEST_P(UnreadableSessionTest, LosesNothingWhileOthersGoOn) {
  MakeSessions(cold());
  const std::string key = SessionKey("a");
  const std::string value = cold().ReadMeta(key).value().value();
  FlipEntry(cold(), key);
  Reopen();
  SessionCatalog catalog = OpenCatalog(cold());
  EXPECT_EQ(Unreadable(catalog), std::vector<std::string>{"a"});
  EXPECT_EQ(catalog.List().value().sessions.size(), 2u);
  EXPECT_ERROR(catalog.Find("a"), Errc::kCorruption, "delete the session");
  EXPECT_ERROR(catalog.Create("a", ""), Errc::kExists, "'a'");
  EXPECT_ERROR(catalog.Rename("a", "d"), Errc::kCorruption, "'s/a'");
  ExpectB(cold(), catalog);
  SessionRecord c = catalog.Find("c").value();
  c.ranges.push_back({catalog.NewExtent().value(), 0, 0});
  ASSERT_GOOD(Extend(cold(), catalog, c, 2, {8}, "c"));
  ExpectWhole(cold(), catalog, "c", {7, 8}, "c");
  // What "b" shares may be of "a", and its other blocks too, as far as anyone can tell.
  const uint64_t own = catalog.Find("b").value().ranges[1].extent;
  EXPECT_EQ(catalog.Delete("b").value(), 0u);
  ExpectReads(cold(), {own, 1, 1, 0}, kTestGrid.payload_bytes);
  Reopen();
  SessionCatalog reopened = OpenCatalog(cold());
  ASSERT_GOOD(cold().WriteMeta({.puts = {{key, value}}}));
  ExpectWhole(cold(), reopened, "a", {1, 2, 3}, "tail");
  Reopen();
  SessionCatalog whole = OpenCatalog(cold());  // which knows now what is nobody's
  ExpectWhole(cold(), whole, "a", {1, 2, 3}, "tail");
  EXPECT_FALSE(ReadOne(cold(), {own, 1, 1, 0}, kTestGrid.payload_bytes).has_value());
}

TEST_P(UnreadableSessionTest, IsDeletedWithAllThatWasIts) {
  MakeSessions(cold());
  const SessionRecord a = OpenCatalog(cold(), true).Find("a").value();
  FlipEntry(cold(), SessionKey("a"));
  SessionCatalog catalog = OpenCatalog(cold());
  EXPECT_EQ(catalog.Delete("a").value(), 0u);
  EXPECT_ERROR(catalog.Delete("a"), Errc::kNotFound, "there are: b, c");
  EXPECT_TRUE(cold().ScanMeta(TokensPrefix(a.id)).value().empty());
  EXPECT_FALSE(cold().ReadMeta(TailKey(a.id)).value().has_value());
  ExpectB(cold(), catalog);
  Reopen();
  SessionCatalog reopened = OpenCatalog(cold());
  EXPECT_FALSE(ReadOne(cold(), {a.ranges[0].extent, 3, 0, 0}, kTestGrid.payload_bytes));
  ExpectB(cold(), reopened);
  ExpectWhole(cold(), reopened, "c", {7}, "");
  ASSERT_GOOD(reopened.Delete("b"));
  ASSERT_GOOD(reopened.Delete("c"));
  EXPECT_TRUE(cold().Extents().value().empty());
  EXPECT_EQ(OtherEntries(cold()), 2u);  // "format" and "next"
}

TEST_P(UnreadableSessionTest, OneOfSeveralWaitsForTheOthers) {
  MakeSessions(cold());
  FlipEntry(cold(), SessionKey("a"));
  FlipEntry(cold(), SessionKey("c"));
  const std::string value = cold().ReadMeta(SessionKey("c")).value().value();
  const size_t entries = OtherEntries(cold());
  {
    SessionCatalog catalog = OpenCatalog(cold());
    ASSERT_GOOD(catalog.Delete("a"));
    EXPECT_EQ(OtherEntries(cold()), entries);
    EXPECT_EQ(Unreadable(catalog), std::vector<std::string>{"c"});
  }
  Reopen();
  SessionCatalog catalog = OpenCatalog(cold());
  EXPECT_EQ(cold().Extents().value().size(), 3u);
  ASSERT_GOOD(catalog.Delete("c"));
  Reopen();
  SessionCatalog reopened = OpenCatalog(cold());
  EXPECT_EQ(cold().Extents().value().size(), 2u);
  ExpectB(cold(), reopened);
  ASSERT_GOOD(reopened.Delete("b"));
  EXPECT_EQ(OtherEntries(cold()), 2u);
  EXPECT_TRUE(cold().Extents().value().empty());
}

INSTANTIATE_TEST_SUITE_P(Stores, UnreadableSessionTest, testing::Values("memory", "rocks"));

/// Fails every operation in turn; afterwards it is wholly there or wholly gone.
TEST(UnreadableSessionFault, AnAbortedDeleteHarmsNoOtherSession) {
  FailEachCall([](ColdStore& cold, WithFault with_fault) {
    SessionCatalog catalog = OpenCatalog(cold);
    SessionRecord a = NewSession(catalog, "a");
    ASSERT_GOOD(Extend(cold, catalog, a, 3, {1, 2}, "tail"));
    ASSERT_GOOD(catalog.Fork(a, "b", std::nullopt));
    const std::string value = cold.ReadMeta(SessionKey("a")).value().value();
    FlipEntry(cold, SessionKey("a"));
    const bool gone = with_fault([&] { return catalog.Delete("a").has_value(); });
    SessionCatalog reopened = OpenCatalog(cold);
    ExpectWhole(cold, reopened, "b", {1, 2}, "tail");
    EXPECT_EQ(reopened.List().value().unreadable.size(), gone ? 0u : 1u);
    if (gone) return;
    ASSERT_GOOD(cold.WriteMeta({.puts = {{SessionKey("a"), value}}}));
    ExpectWhole(cold, reopened, "a", {1, 2}, "tail");
  });
}

}  // namespace
}  // namespace cairn
