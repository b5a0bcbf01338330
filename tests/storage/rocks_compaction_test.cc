// Compacting a store on disk: fewer files, nobody's records gone, everybody's there.
#include "storage/rocks_compaction.h"

#include "catalog_fixture.h"
#include "storage/catalog_format.h"

namespace cairn {
namespace {

constexpr size_t kPayloadBytes = 4000;
constexpr BlockGrid kGrid{.layers = 2, .heads = 2, .payload_bytes = kPayloadBytes};
constexpr uint64_t kOrdinalBytes = 4 * kPayloadBytes;
constexpr auto kNoWatch = [](uint64_t, uint64_t) { return Status(Ok()); };

class RocksCompactionTest : public testing::Test {
 protected:
  void SetUp() override { Open({.create = true}); }
  void Open(RocksColdStoreOptions options) {
    store_.reset();
    store_ = OpenRocks(directory_.store(), options);
  }
  /// `files` files of `ordinals` ordinals each, covered by a session but for `dead` at the end.
  void Write(uint64_t extent, uint32_t files, uint32_t ordinals, uint32_t dead = 0) {
    for (uint32_t file = 0; file < files; ++file) {
      ASSERT_GOOD(
          WriteAll(*store_, BlocksOf(extent, file * ordinals, ordinals, 2, 2), kPayloadBytes));
    }
    SessionRecord record;
    record.ranges = {{extent, 0, files * ordinals - dead}};
    live_.Add(record, kGrid);
    records_.push_back(record);
  }
  Status Compact(const CompactionLimits& limits, CompactionWatch watch = kNoWatch) {
    report_ = {};
    return store_->Compact(&live_, limits, watch, report_);
  }
  uint64_t files() { return store_->Stats().table_files; }
  void ExpectAllThere() {
    for (const SessionRecord& record : records_) {
      const ExtentRange& range = record.ranges[0];
      for (const BlockId& id : BlocksOf(range.extent, 0, range.count, 2, 2)) {
        ExpectReads(*store_, id, kPayloadBytes);
      }
    }
  }

  const TempDirectory directory_;
  std::unique_ptr<RocksColdStore> store_;
  LiveBlocks live_;
  std::vector<SessionRecord> records_;
  CompactionReport report_;
};

TEST_F(RocksCompactionTest, FilesOfAnExtentBecomeOneUpToTheLimit) {
  Write(1, 12, 3);
  EXPECT_EQ(files(), 12u);
  ASSERT_GOOD(Compact({.file_bytes = 20 * kOrdinalBytes, .mixed_file_bytes = kOrdinalBytes}));
  EXPECT_EQ(files(), 2u);  // of six files each
  EXPECT_EQ(report_.dropped_records, 0u);
  EXPECT_EQ(report_.kept_records, 36u * 4);
  EXPECT_EQ(report_.damaged_records, 0u);
  ExpectAllThere();
  Open({});
  ExpectAllThere();
  ASSERT_GOOD(Compact({.file_bytes = 20 * kOrdinalBytes, .mixed_file_bytes = kOrdinalBytes}));
  EXPECT_EQ(report_.rewritten_bytes, 0u) << "nothing is left to do";
}

TEST_F(RocksCompactionTest, OnlySmallExtentsShareFiles) {
  for (uint64_t extent = 1; extent <= 6; ++extent) Write(extent, 1, 1);
  Write(7, 4, 8);
  Write(8, 1, 1);
  ASSERT_GOOD(Compact({.file_bytes = 100 * kOrdinalBytes, .mixed_file_bytes = 5 * kOrdinalBytes}));
  EXPECT_EQ(files(), 4u);  // 1 to 4, 5 and 6, 7, 8
  ExpectAllThere();
  // One of them goes, and its neighbours in the file stay.
  ASSERT_GOOD(store_->DropExtent(2, 0));
  records_.erase(records_.begin() + 1);
  ExpectAllThere();
  EXPECT_EQ(store_->Extents().value(), (std::vector<uint64_t>{1, 3, 4, 5, 6, 7, 8}));
}

TEST_F(RocksCompactionTest, WhatNobodyCoversGoesAlsoFromTheMiddleOfAFile) {
  Write(1, 1, 10, 4);
  Write(2, 2, 10);
  ASSERT_GOOD(WriteAll(*store_, BlocksOf(3, 0, 5, 2, 2), kPayloadBytes));  // of no session
  const uint64_t before = store_->Stats().payload_bytes;
  ASSERT_GOOD(Compact({}));
  EXPECT_EQ(report_.dropped_records, (4u + 5) * 4);
  EXPECT_LT(store_->Stats().payload_bytes, before - 8 * kOrdinalBytes);
  EXPECT_EQ(store_->Extents().value(), (std::vector<uint64_t>{1, 2}));
  EXPECT_ERROR(ReadOne(*store_, {1, 6, 0, 0}, kPayloadBytes), Errc::kNotFound, "");
  ExpectAllThere();
  // A writer may go on where the session ended.
  ASSERT_GOOD(WriteAll(*store_, BlocksOf(1, 6, 2, 2, 2), kPayloadBytes));
  ExpectReads(*store_, {1, 6, 0, 0}, kPayloadBytes);
  ExpectAllThere();
}

TEST_F(RocksCompactionTest, WithoutKnowingWhatIsCoveredAllStays) {
  Write(1, 3, 2, 1);
  ASSERT_GOOD(store_->Compact(nullptr, {}, kNoWatch, report_));
  EXPECT_EQ(files(), 1u);
  EXPECT_EQ(report_.dropped_records, 0u);
  ExpectReads(*store_, {1, 5, 1, 1}, kPayloadBytes);
}

TEST_F(RocksCompactionTest, AStopKeepsWhatWasDone) {
  for (uint64_t extent = 1; extent <= 4; ++extent) Write(extent, 3, 2);
  uint64_t last_total = 0;
  const auto stop = [&](uint64_t done, uint64_t total) -> Status {
    last_total = total;
    if (done == 0) return Ok();
    return Fail(Errc::kInterrupted, "stopped");
  };
  const CompactionLimits limits{.file_bytes = 8 * kOrdinalBytes, .mixed_file_bytes = 1};
  EXPECT_ERROR(Compact(limits, stop), Errc::kInterrupted, "stopped");
  EXPECT_EQ(files(), 3u * 3 + 1);
  EXPECT_GT(report_.rewritten_bytes, 0u);
  EXPECT_GT(last_total, report_.rewritten_bytes);
  ExpectAllThere();
  ASSERT_GOOD(Compact(limits));
  EXPECT_EQ(files(), 4u);
  ExpectAllThere();
}

TEST_F(RocksCompactionTest, TheLimitHoldsWhileItWorks) {
  Write(1, 4, 3);
  const uint64_t now = store_->Stats().disk_bytes;
  Open({.disk_limit_bytes = now + kOrdinalBytes});
  EXPECT_ERROR(Compact({}), Errc::kOutOfSpace, "--disk-limit");
  EXPECT_EQ(files(), 4u);
  ExpectAllThere();
  Open({.disk_limit_bytes = 2 * now + (8 << 20)});
  ASSERT_GOOD(Compact({}));
  EXPECT_EQ(files(), 1u);
}

TEST_F(RocksCompactionTest, ADamagedRecordIsToldAndStays) {
  Write(1, 2, 2);
  const BlockId id{1, 4, 0, 0};
  std::vector<std::byte> record = RecordOf(id, kPayloadBytes);
  record[100] ^= std::byte{1};  // as if it had been damaged before it reached RocksDB
  const BlockRecord damaged{id, record};
  ASSERT_GOOD(store_->WriteBlocks({&damaged, 1}));
  SessionRecord longer;
  longer.ranges = {{1, 0, 5}};
  live_.Add(longer, kGrid);
  ASSERT_GOOD(Compact({}));
  EXPECT_EQ(files(), 1u);
  EXPECT_EQ(report_.damaged_records, 1u);
  ASSERT_EQ(report_.damages.size(), 1u);
  EXPECT_NE(report_.damages[0].find("extent 1 block 4"), std::string::npos) << report_.damages[0];
  std::vector<std::byte> read(record.size());
  std::byte* const target = read.data();
  // There still, and not served.
  EXPECT_ERROR(store_->ReadBlocks({&id, 1}, record.size(), {&target, 1}), Errc::kCorruption,
               "extent 1 block 4");
  ExpectAllThere();
}

TEST_F(RocksCompactionTest, AReaderThatWasThereBeforeReadsOn) {
  Write(1, 6, 2);
  const auto reader = OpenRocks(directory_.store(), {.read_only = true});
  ASSERT_GOOD(Compact({}));
  ExpectReads(*reader, {1, 0, 0, 0}, kPayloadBytes);
  ExpectReads(*reader, {1, 11, 1, 1}, kPayloadBytes);
  EXPECT_ERROR(reader->Compact(nullptr, {}, kNoWatch, report_), Errc::kInvalidArgument, "reading");
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
