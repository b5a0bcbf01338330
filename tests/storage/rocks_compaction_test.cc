// Compacting a store on disk: fewer segments, and all that there was.
#include "storage/rocks_compaction.h"

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "catalog_fixture.h"
#include "storage/catalog_format.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPayloadBytes = 4000;
constexpr uint64_t kSegmentBytes = 256 << 10;
constexpr auto kNoWatch = [](uint64_t, uint64_t) { return Status(Ok()); };

class RocksCompactionTest : public testing::Test {
 protected:
  void SetUp() override { Open({.create = true}); }
  void Open(RocksColdStoreOptions options) {
    if (options.segment_bytes == RocksColdStoreOptions().segment_bytes) {
      options.segment_bytes = kSegmentBytes;
    }
    store_.reset();
    store_ = OpenRocks(directory_.store(), options);
  }
  /// Extents [first, end) of some blocks, each in a segment of its own.
  void WriteApart(uint64_t first, uint64_t end, uint32_t ordinals) {
    for (uint64_t extent = first; extent < end; ++extent) {
      Open({.segment_bytes = 50'000});  // for one of them
      ASSERT_GOOD(KeepAll(*store_, BlocksOf(extent, 0, ordinals, 2, 2), kPayloadBytes));
      for (const BlockId& id : BlocksOf(extent, 0, ordinals, 2, 2)) ids_.push_back(id);
    }
    Open({});
  }
  Status Compact(CompactionWatch watch = kNoWatch) {
    report_ = {};
    return store_->Compact(watch, report_);
  }
  std::vector<fs::path> Segments() const {
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(directory_.store() + "/blocks")) {
      paths.push_back(entry.path());
    }
    std::ranges::sort(paths);
    return paths;
  }
  void ExpectAllThere() {
    for (const BlockId& id : ids_) ExpectReads(*store_, id, kPayloadBytes);
  }

  const TempDirectory directory_;
  std::unique_ptr<RocksColdStore> store_;
  std::vector<BlockId> ids_;
  CompactionReport report_;
};

TEST_F(RocksCompactionTest, SmallSegmentsBecomeFew) {
  WriteApart(1, 13, 3);
  EXPECT_EQ(Segments().size(), 12u);
  ASSERT_GOOD(Compact());
  EXPECT_EQ(Segments().size(), 3u);  // of 48 kB each, five in one
  EXPECT_EQ(report_.copied_blocks, 12u * 12);
  EXPECT_EQ(report_.damaged_blocks, 0u);
  ExpectAllThere();
  Open({});
  ExpectAllThere();
  ASSERT_GOOD(Compact());
  EXPECT_EQ(report_.rewritten_bytes, 0u) << "nothing is left to do";
  ASSERT_GOOD(KeepAll(*store_, BlocksOf(13, 0, 3, 2, 2), kPayloadBytes));
  ExpectReads(*store_, {13, 2, 1, 1}, kPayloadBytes);
  ExpectAllThere();
}

TEST_F(RocksCompactionTest, WhatIsLeftOfLargeSegmentsIsCopiedTogether) {
  for (uint64_t extent = 1; extent <= 4; ++extent) {
    ASSERT_GOOD(KeepAll(*store_, BlocksOf(extent, 0, 16, 2, 2), kPayloadBytes));
  }
  ASSERT_EQ(Segments().size(), 4u);
  for (const uint64_t extent : {2, 3}) {
    ASSERT_GOOD(store_->DropExtent(extent, 4));
    for (const BlockId& id : BlocksOf(extent, 0, 4, 2, 2)) ids_.push_back(id);
  }
  const fs::path first = Segments()[0], last = Segments()[3];
  ASSERT_GOOD(Compact());
  EXPECT_EQ(report_.rewritten_bytes, 2u * 16 * kPayloadBytes);
  ASSERT_EQ(Segments().size(), 3u);
  EXPECT_EQ(Segments()[0], first);
  EXPECT_EQ(Segments()[1], last);
  ExpectAllThere();
  ExpectReads(*store_, {1, 15, 1, 1}, kPayloadBytes);
  EXPECT_ERROR(ReadOne(*store_, {2, 4, 0, 0}, kPayloadBytes), Errc::kNotFound, "");
}

TEST_F(RocksCompactionTest, AStopKeepsWhatWasDone) {
  WriteApart(1, 13, 3);
  uint64_t last_total = 0;
  const auto stop = [&](uint64_t done, uint64_t total) -> Status {
    last_total = total;
    if (done == 0) return Ok();
    return Fail(Errc::kInterrupted, "stopped");
  };
  EXPECT_ERROR(Compact(stop), Errc::kInterrupted, "stopped");
  EXPECT_EQ(Segments().size(), 12u - 5 + 1);
  EXPECT_GT(report_.rewritten_bytes, 0u);
  EXPECT_GT(last_total, report_.rewritten_bytes);
  ExpectAllThere();
  ASSERT_GOOD(Compact());
  EXPECT_LE(Segments().size(), 3u);
  ExpectAllThere();
}

TEST_F(RocksCompactionTest, TheLimitHoldsWhileItWorks) {
  WriteApart(1, 5, 3);
  const uint64_t now = store_->Stats().disk_bytes;
  Open({.disk_limit_bytes = now + 12 * kPayloadBytes});
  EXPECT_ERROR(Compact(), Errc::kOutOfSpace, "--disk-limit");
  EXPECT_EQ(Segments().size(), 4u);
  ExpectAllThere();
  Open({.disk_limit_bytes = 2 * now + (8 << 20)});
  ASSERT_GOOD(Compact());
  EXPECT_EQ(Segments().size(), 1u);
}

TEST_F(RocksCompactionTest, DamageIsToldAndCopiedAsItIs) {
  WriteApart(1, 4, 3);
  {
    std::fstream file(Segments()[1], std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(4 * kPayloadBytes + 100);
    file.put('?').flush();
    ASSERT_TRUE(file.good());
  }
  const BlockId damaged{2, 1, 0, 0};
  std::erase(ids_, damaged);
  ASSERT_GOOD(Compact());
  EXPECT_EQ(Segments().size(), 1u);
  EXPECT_EQ(report_.damaged_blocks, 1u);
  ASSERT_EQ(report_.damages.size(), 1u);
  EXPECT_NE(report_.damages[0].find(ToString(damaged)), std::string::npos) << report_.damages[0];
  Open({});
  EXPECT_ERROR(ReadOne(*store_, damaged, kPayloadBytes), Errc::kCorruption, ToString(damaged));
  ExpectAllThere();
}

TEST_F(RocksCompactionTest, ASegmentThatCannotBeReadStays) {
  WriteApart(1, 5, 3);
  fs::resize_file(Segments()[1], 5000);
  std::erase_if(ids_, [](const BlockId& id) { return id.extent == 2; });
  ASSERT_GOOD(Compact());
  EXPECT_EQ(Segments().size(), 2u);
  EXPECT_EQ(report_.damaged_blocks, 1u);
  ExpectReads(*store_, {2, 0, 0, 0}, kPayloadBytes);
  ExpectAllThere();
}

TEST_F(RocksCompactionTest, AReaderThatWasThereBeforeReadsOn) {
  WriteApart(1, 7, 2);
  const auto reader = OpenRocks(directory_.store(), {.read_only = true});
  ASSERT_GOOD(Compact());
  for (const BlockId& id : ids_) ExpectReads(*reader, id, kPayloadBytes);
  EXPECT_ERROR(reader->Compact(kNoWatch, report_), Errc::kInvalidArgument, "reading");
}

/// Entries of the catalog that crashes and cuts have left.
TEST(RemoveLeftovers, TakesWhatNoSessionHasAndNothingElse) {
  MemoryColdStore cold;
  SessionCatalog catalog = OpenCatalog(cold);
  SessionRecord a = NewSession(catalog, "a");
  ASSERT_GOOD(Extend(cold, catalog, a, 2, {1, 2}, ""));
  ASSERT_GOOD(Extend(cold, catalog, a, 2, {3}, "tail"));
  ASSERT_GOOD(catalog.Fork(a, "b", std::nullopt));
  ASSERT_GOOD(catalog.Cut(a, {.blocks = 2, .tokens = 2}));
  EXPECT_EQ(catalog.RemoveLeftovers().value(), 0u) << "the fork has all";
  SessionRecord c = NewSession(catalog, "c");
  ASSERT_GOOD(Extend(cold, catalog, c, 1, {4}, "tail"));
  ASSERT_GOOD(catalog.Delete("b"));
  const uint64_t before = cold.ScanMeta("").value().size();
  EXPECT_EQ(catalog.RemoveLeftovers().value(), 2u);  // sections of two layers behind the cut
  EXPECT_EQ(cold.ScanMeta("").value().size(), before - 2);
  ExpectWhole(cold, catalog, "a", {1, 2}, "");
  ExpectWhole(cold, catalog, "c", {4}, "tail");
  // What is there of ids that no session has.
  const std::string entry = TailKey(2);  // b's, which is deleted
  ASSERT_GOOD(cold.WriteMeta({.puts = {{entry, SealValue(entry, "tail")}}}));
  EXPECT_EQ(catalog.RemoveLeftovers().value(), 1u);
}

}  // namespace
}  // namespace cairn
