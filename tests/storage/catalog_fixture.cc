#include "catalog_fixture.h"

#include "storage/catalog_format.h"
#include "storage/faulty_cold_store.h"

namespace cairn {

SessionCatalog OpenCatalog(ColdStore& cold, bool read_only) {
  Result<SessionCatalog> catalog = SessionCatalog::Open(cold, read_only);
  EXPECT_TRUE(catalog.has_value()) << catalog.error().message;
  return std::move(catalog).value();
}

SessionRecord NewSession(SessionCatalog& catalog, const std::string& name) {
  SessionRecord record = catalog.Create(name, "{\"model\": \"m\"}").value();
  record.ranges = {{catalog.NewExtent().value(), 0, 0}};
  return record;
}

Status Extend(ColdStore& cold, SessionCatalog& catalog, SessionRecord& record, uint32_t count,
              std::vector<uint32_t> tokens, std::string tail) {
  ExtentRange& range = record.ranges.back();
  CAIRN_TRY(WriteAll(
      cold,
      BlocksOf(range.extent, range.first + range.count, count, kTestGrid.layers, kTestGrid.heads),
      kTestGrid.payload_bytes));
  SessionCommit commit{.record = record, .new_tokens = std::move(tokens), .tail = std::move(tail)};
  for (uint16_t layer = 0; layer < kTestGrid.layers; ++layer) {
    SummarySection section{.type = kTestSections,
                           .version = 1,
                           .extent = range.extent,
                           .layer = layer,
                           .first = range.first + range.count,
                           .count = count};
    for (uint32_t i = 0; i < count; ++i) {
      section.bytes += fmt::format("{:02}{:02}", layer, section.first + i);
    }
    commit.sections.push_back(std::move(section));
  }
  commit.record.ranges.back().count += count;
  commit.record.tokens += commit.new_tokens.size();
  commit.record.tail_bytes = commit.tail.size();
  ++commit.record.commits;
  CAIRN_TRY(catalog.Commit(commit));
  record = commit.record;
  return Ok();
}

std::string JoinedBytes(const std::vector<SummarySection>& sections) {
  std::string bytes;
  for (const SummarySection& section : sections) bytes += section.bytes;
  return bytes;
}

void ExpectSame(const SessionRecord& a, const SessionRecord& b) {
  EXPECT_EQ(EncodeSession(a), EncodeSession(b));
  EXPECT_EQ(a.name, b.name);
}

void ExpectWhole(ColdStore& cold, const SessionCatalog& catalog, const std::string& name,
                 const std::vector<uint32_t>& tokens, const std::string& tail) {
  const Result<SessionRecord> record = catalog.Find(name);
  ASSERT_GOOD(record);
  ASSERT_GOOD(catalog.ReadTokens(record.value()));
  EXPECT_EQ(catalog.ReadTokens(record.value()).value(), tokens);
  ASSERT_GOOD(catalog.ReadTail(record.value()));
  EXPECT_EQ(catalog.ReadTail(record.value()).value(), tail);
  for (uint16_t layer = 0; layer < kTestGrid.layers; ++layer) {
    std::string expected;
    for (const ExtentRange& range : record.value().ranges) {
      for (const BlockId& id : BlocksOf(range.extent, range.first, range.count, 1, 1)) {
        expected += fmt::format("{:02}{:02}", layer, id.ordinal);
      }
    }
    const auto sections = catalog.ReadSections(record.value(), kTestSections, layer);
    ASSERT_GOOD(sections);
    EXPECT_EQ(JoinedBytes(sections.value()), expected);
  }
  for (const ExtentRange& range : record.value().ranges) {
    for (const BlockId& id :
         BlocksOf(range.extent, range.first, range.count, kTestGrid.layers, kTestGrid.heads)) {
      ExpectReads(cold, id, kTestGrid.payload_bytes);
    }
  }
}

void FailEachCall(FunctionRef<void(ColdStore& cold, WithFault with_fault)> attempt) {
  constexpr uint64_t kMostCalls = 50;
  bool passed = false;
  for (uint64_t nth = 1; !passed; ++nth) {
    ASSERT_LT(nth, kMostCalls);
    MemoryColdStore memory;
    FaultyColdStore cold(memory);
    attempt(cold, [&](FunctionRef<bool()> operation) {
      cold.FailNth(ColdOperation::kAny, nth);
      const bool good = operation();
      passed = good && cold.Armed();
      cold.Heal();
      return good;
    });
    if (testing::Test::HasFatalFailure()) return;
  }
}

void StoreTest::Reopen() {
  if (GetParam() != std::string("rocks")) return;
  rocks_.reset();
  rocks_ = OpenWriter(directory_.store());
}

}  // namespace cairn
