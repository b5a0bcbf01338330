// Cutting a session: one atomic step after which it ends at a block, whatever is damaged behind it.
#include "catalog_fixture.h"
#include "storage/catalog_format.h"
#include "storage/verifier.h"

namespace cairn {
namespace {

constexpr auto kNoWatch = [](uint64_t, uint64_t) -> Status { return Ok(); };
const ForkPoint kCut{.blocks = 3, .tokens = 2, .properties = "cut"};

/// Session "a": four blocks with tokens 1 to 3, and in another extent two with 4 and 5 and a tail.
SessionRecord MakeSession(ColdStore& cold, SessionCatalog& catalog) {
  SessionRecord record = NewSession(catalog, "a");
  EXPECT_TRUE(Extend(cold, catalog, record, 4, {1, 2, 3}, "first"));
  record.ranges.push_back({catalog.NewExtent().value(), 0, 0});
  EXPECT_TRUE(Extend(cold, catalog, record, 2, {4, 5}, "tail"));
  return record;
}

void FlipEntry(ColdStore& cold, const std::string& key) {
  std::string value = cold.ReadMeta(key).value().value();
  value[value.size() / 2] ^= 4;
  ASSERT_GOOD(cold.WriteMeta({.puts = {{key, value}}}));
}

size_t Damages(ColdStore& cold) {
  Verifier verifier(cold);
  const auto records = verifier.CheckStore();
  for (const SessionRecord& record : records.value()) {
    verifier.CheckEntries(record);
    EXPECT_TRUE(verifier.CheckBlocks(record, kTestGrid, kTestSections, kNoWatch).has_value());
  }
  return verifier.damages().size();
}

class SessionCutTest : public StoreTest {};

TEST_P(SessionCutTest, EndsAtItsPointAndGoesOn) {
  SessionCatalog catalog = OpenCatalog(cold());
  const SessionRecord a = MakeSession(cold(), catalog);
  ASSERT_GOOD(catalog.Cut(a, kCut));
  const SessionRecord cut = catalog.Find("a").value();
  EXPECT_EQ(cut.id, a.id);
  EXPECT_EQ(cut.properties, "cut");
  EXPECT_EQ(cut.commits, a.commits + 1);
  ExpectWhole(cold(), catalog, "a", {1, 2}, "");
  EXPECT_TRUE(cold().ScanMeta(SectionsPrefix(a.ranges[1].extent)).value().empty());
  EXPECT_ERROR(catalog.Cut(a, kCut), Errc::kMismatch, "open it again");
  Reopen();
  SessionCatalog reopened = OpenCatalog(cold());
  EXPECT_EQ(cold().Extents().value(), std::vector<uint64_t>{a.ranges[0].extent});
  EXPECT_FALSE(ReadOne(cold(), {a.ranges[0].extent, 3, 0, 0}, kTestGrid.payload_bytes));
  SessionRecord record = reopened.Find("a").value();
  record.ranges.push_back({reopened.NewExtent().value(), 0, 0});
  ASSERT_GOOD(Extend(cold(), reopened, record, 2, {6}, "end"));
  ExpectWhole(cold(), reopened, "a", {1, 2, 6}, "end");
  EXPECT_EQ(Damages(cold()), 0u);
}

TEST_P(SessionCutTest, TakesNothingFromForks) {
  {
    SessionCatalog catalog = OpenCatalog(cold());
    ASSERT_GOOD(catalog.Fork(MakeSession(cold(), catalog), "b", std::nullopt));
  }
  for (const uint64_t blocks : {3, 0}) {
    {
      SessionCatalog catalog = OpenCatalog(cold());
      const ForkPoint point{.blocks = blocks, .tokens = blocks / 2};
      ASSERT_GOOD(catalog.Cut(catalog.Find("a").value(), point));
    }
    Reopen();
    SessionCatalog reopened = OpenCatalog(cold());
    ExpectWhole(cold(), reopened, "b", {1, 2, 3, 4, 5}, "tail");
    EXPECT_EQ(reopened.ReadTokens(reopened.Find("a").value()).value().size(), blocks / 2);
  }
  SessionCatalog reopened = OpenCatalog(cold());
  EXPECT_EQ(reopened.Delete("b").value(), 6u);
  EXPECT_TRUE(cold().Extents().value().empty());
  EXPECT_EQ(cold().ScanMeta("").value().size(), 3u);  // "format", "next" and the empty session
}

TEST_P(SessionCutTest, LeavesDamageBehind) {
  SessionCatalog catalog = OpenCatalog(cold());
  SessionRecord a = MakeSession(cold(), catalog);
  ASSERT_GOOD(catalog.Fork(a, "b", ForkPoint{.blocks = 4, .tokens = 3}));
  FlipEntry(cold(), TokensKey(a.id, 3));
  FlipEntry(cold(), TailKey(a.id));
  for (uint16_t layer = 0; layer < kTestGrid.layers; ++layer) {
    FlipEntry(cold(), SectionKey({.type = 1, .extent = a.ranges[1].extent, .layer = layer}));
  }
  EXPECT_EQ(Damages(cold()), 4u);
  ASSERT_GOOD(catalog.Cut(a, {.blocks = 4, .tokens = 3}));
  EXPECT_EQ(Damages(cold()), 0u);
  ExpectWhole(cold(), catalog, "a", {1, 2, 3}, "");
  ExpectWhole(cold(), catalog, "b", {1, 2, 3}, "");
}

/// A damaged summary in an extent that is still used, behind all that is used of it.
TEST_P(SessionCutTest, LeavesDamageBehindInTheSameExtent) {
  SessionCatalog catalog = OpenCatalog(cold());
  SessionRecord a = NewSession(catalog, "a");
  ASSERT_GOOD(Extend(cold(), catalog, a, 4, {1, 2}, ""));
  ASSERT_GOOD(Extend(cold(), catalog, a, 3, {3}, "tail"));
  FlipEntry(cold(), SectionKey({.type = 1, .extent = a.ranges[0].extent, .layer = 1, .first = 4}));
  EXPECT_ERROR(catalog.ReadSections(a, kTestSections, 1), Errc::kCorruption, "damaged");
  EXPECT_EQ(Damages(cold()), 1u);
  ASSERT_GOOD(catalog.Cut(a, {.blocks = 4, .tokens = 2}));
  EXPECT_EQ(Damages(cold()), 0u);
  ExpectWhole(cold(), catalog, "a", {1, 2}, "");
}

INSTANTIATE_TEST_SUITE_P(Stores, SessionCutTest, testing::Values("memory", "rocks"));

/// Fails every operation in turn; afterwards the session is what it was, or cut.
TEST(SessionCutFault, AnAbortedCutChangesNothing) {
  FailEachCall([](ColdStore& cold, WithFault with_fault) {
    SessionCatalog catalog = OpenCatalog(cold);
    const SessionRecord a = MakeSession(cold, catalog);
    const bool cut = with_fault([&] { return catalog.Cut(a, kCut).has_value(); });
    SessionCatalog reopened = OpenCatalog(cold);
    if (cut) {
      ExpectWhole(cold, reopened, "a", {1, 2}, "");
    } else {
      ExpectWhole(cold, reopened, "a", {1, 2, 3, 4, 5}, "tail");
    }
  });
}

}  // namespace
}  // namespace cairn
