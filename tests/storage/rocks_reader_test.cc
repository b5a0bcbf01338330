// Reads past RocksDB: what they serve is what RocksDB has, and nothing else.
#include "storage/rocks_reader.h"

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "storage/block_format.h"
#include "store_fixture.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPayloadBytes = 5000;
constexpr size_t kRecordBytes = kPayloadBytes + kTrailerBytes;

/// A store's database and a reader of its blocks.
struct Opened {
  Opened(const std::string& path, BlockReads reads, bool read_only = true)
      : database(
            RocksDatabase::Open(StoreDirectory::Open(path, read_only ? StoreDirectory::Use::kRead
                                                                     : StoreDirectory::Use::kWrite)
                                    .value(),
                                {.read_only = read_only})
                .value()),
        reader(database->directory(), reads, true, 4) {}

  /// Reads all of `ids`; what is read is compared with what was written.
  Status Read(const std::vector<BlockId>& ids) {
    std::vector<std::vector<std::byte>> records(ids.size(), std::vector<std::byte>(kRecordBytes));
    std::vector<std::byte*> targets;
    for (auto& record : records) targets.push_back(record.data());
    CAIRN_TRY(const RocksDatabase::Access access, database->Read());
    CAIRN_TRY(reader.Read(access, ids, kRecordBytes, targets));
    for (size_t i = 0; i < ids.size(); ++i) {
      EXPECT_EQ(records[i], RecordOf(ids[i], kPayloadBytes)) << ToString(ids[i]);
    }
    return Ok();
  }

  std::unique_ptr<RocksDatabase> database;
  RocksReader reader;
};

class RocksReaderTest : public testing::TestWithParam<BlockReads> {
 protected:
  std::string store() const { return directory_.store(); }
  /// The table files, in the order they were made.
  std::vector<fs::path> Tables() const {
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(store() + "/db")) {
      if (entry.path().extension() == ".sst") paths.push_back(entry.path());
    }
    std::ranges::sort(paths);
    return paths;
  }

  TempDirectory directory_;
};

std::vector<BlockId> Join(std::vector<BlockId> ids, const std::vector<BlockId>& more) {
  ids.insert(ids.end(), more.begin(), more.end());
  return ids;
}

TEST_P(RocksReaderTest, BlocksOfWholeGridsAreReadWithoutAskingRocks) {
  std::mt19937_64 random = SeededRandom();
  const std::vector<BlockId> first = BlocksOf(1, 0, 7, 3, 2), second = BlocksOf(1, 7, 9, 3, 2),
                             other = BlocksOf(4, 10, 20, 2, 5);
  {
    const auto writer = OpenWriter(store());
    for (const auto& ids : {first, second, other}) {
      ASSERT_GOOD(WriteAll(*writer, ids, kPayloadBytes));
    }
  }
  Opened opened(store(), GetParam());
  std::vector<BlockId> all = Join(Join(first, second), other);
  for (int round = 0; round < 3; ++round) {
    std::ranges::shuffle(all, random);
    ASSERT_GOOD(opened.Read(all));
  }
  EXPECT_EQ(opened.reader.asked_records(), 0u);
  EXPECT_ERROR(opened.Read({first[0], {1, 16, 0, 0}}), Errc::kNotFound, "block 16");
  EXPECT_ERROR(opened.Read({{1, 3, 3, 0}}), Errc::kNotFound, "layer 3");
}

/// A step may be written in the midst of a grid, and tests write what no session has.
TEST_P(RocksReaderTest, BlocksOfOtherFormsAreAskedOfRocks) {
  std::mt19937_64 random = SeededRandom();
  const std::vector<BlockId> grid = BlocksOf(1, 0, 40, 3, 2);
  std::vector<BlockId> holes;
  for (const BlockId& id : BlocksOf(2, 0, 40, 3, 2)) {
    if (Pick(random, 4) > 0) holes.push_back(id);
  }
  {
    const auto writer = OpenWriter(store());
    for (size_t at = 0; at < grid.size();) {
      const size_t count = std::min<size_t>(1 + Pick(random, 50), grid.size() - at);
      const auto begin = grid.begin() + static_cast<std::ptrdiff_t>(at);
      ASSERT_GOOD(
          WriteAll(*writer, {begin, begin + static_cast<std::ptrdiff_t>(count)}, kPayloadBytes));
      at += count;
    }
    ASSERT_GOOD(WriteAll(*writer, holes, kPayloadBytes));
    ASSERT_GOOD(WriteAll(*writer, BlocksOf(3, 0, 4, 1, 1), kPayloadBytes + 1));
  }
  Opened opened(store(), GetParam());
  ASSERT_GOOD(opened.Read(grid));
  EXPECT_EQ(opened.reader.asked_records(), 0u);
  ASSERT_GOOD(opened.Read(holes));
  EXPECT_EQ(opened.reader.asked_records(), holes.size());
  EXPECT_ERROR(opened.Read({{3, 0, 0, 0}}), Errc::kCorruption, "extent 3 block 0");
}

TEST_P(RocksReaderTest, DroppedBlocksAreNotFoundBeforeAndAfterAReopen) {
  const std::vector<BlockId> ids = BlocksOf(1, 0, 12, 2, 2);
  const auto expect_cut = [&](RocksColdStore& cold) {
    for (const BlockId& id : ids) {
      if (id.ordinal < 5) {
        ExpectReads(cold, id, kPayloadBytes);
      } else {
        EXPECT_ERROR(ReadOne(cold, id, kPayloadBytes), Errc::kNotFound, ToString(id));
      }
    }
  };
  {
    const auto writer = OpenRocks(store(), {.create = true, .block_reads = GetParam()});
    ASSERT_GOOD(WriteAll(*writer, ids, kPayloadBytes));
    for (const BlockId& id : ids) ExpectReads(*writer, id, kPayloadBytes);
    ASSERT_GOOD(writer->DropExtent(1, 5));
    expect_cut(*writer);
    ASSERT_GOOD(WriteAll(*writer, BlocksOf(2, 0, 3, 2, 2), kPayloadBytes));
    ExpectReads(*writer, {2, 2, 1, 1}, kPayloadBytes);
    expect_cut(*writer);
  }
  expect_cut(*OpenRocks(store(), {.read_only = true, .block_reads = GetParam()}));
  const auto writer = OpenRocks(store(), {.block_reads = GetParam()});
  expect_cut(*writer);
  ASSERT_GOOD(writer->DropExtent(2, 0));
  EXPECT_ERROR(ReadOne(*writer, {2, 2, 1, 1}, kPayloadBytes), Errc::kNotFound, "extent 2");
}

/// Each byte of a file, when it is another one than was written: read right, or an error.
TEST_P(RocksReaderTest, DamageUnderAnOpenReaderIsNeverServed) {
  std::mt19937_64 random = SeededRandom();
  const std::vector<BlockId> ids = BlocksOf(1, 0, 8, 2, 2);
  ASSERT_GOOD(WriteAll(*OpenWriter(store()), ids, kPayloadBytes));
  Opened opened(store(), GetParam());
  ASSERT_GOOD(opened.Read(ids));
  const fs::path table = Tables().at(0);
  const auto data_bytes = static_cast<uint32_t>(ids.size() * kRecordBytes);
  int told = 0;
  for (int round = 0; round < 60; ++round) {
    const uint32_t offset = Pick(random, data_bytes);
    const auto flip = [&] {
      std::fstream file(table, std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(offset);
      const char flipped = static_cast<char>(file.get() ^ 0x10);
      file.seekp(offset);
      file.put(flipped);
    };
    flip();
    for (const BlockId& id : ids) {
      const Status status = opened.Read({id});
      if (status) continue;
      EXPECT_ERROR(status, Errc::kCorruption, ToString(id));
      ++told;
    }
    flip();
  }
  EXPECT_GE(told, 50);
  ASSERT_GOOD(opened.Read(ids));
}

TEST_P(RocksReaderTest, AFileCutShortUnderAnOpenReaderIsAnError) {
  const std::vector<BlockId> ids = BlocksOf(1, 0, 8, 2, 2);
  ASSERT_GOOD(WriteAll(*OpenWriter(store()), ids, kPayloadBytes));
  Opened opened(store(), GetParam());
  ASSERT_GOOD(opened.Read(ids));
  fs::resize_file(Tables().at(0), 10 * kRecordBytes);
  ASSERT_GOOD(opened.Read({ids.begin(), ids.begin() + 9}));
  EXPECT_ERROR(opened.Read(ids), Errc::kCorruption, "extent 1 block 2 layer 0 head 1");
}

/// Files in each other's place have the same form and records that are whole: of other blocks.
TEST_P(RocksReaderTest, BlocksOfASwappedFileAreNotServed) {
  const std::vector<BlockId> ids = Join(BlocksOf(1, 0, 8, 2, 2), BlocksOf(2, 0, 8, 2, 2));
  {
    const auto writer = OpenWriter(store());
    ASSERT_GOOD(WriteAll(*writer, BlocksOf(1, 0, 8, 2, 2), kPayloadBytes));
    ASSERT_GOOD(WriteAll(*writer, BlocksOf(2, 0, 8, 2, 2), kPayloadBytes));
  }
  const std::vector<fs::path> tables = Tables();
  ASSERT_EQ(tables.size(), 2u);
  Opened opened(store(), GetParam());  // RocksDB has its files open, the reader not yet
  fs::rename(tables[0], store() + "/aside");
  fs::rename(tables[1], tables[0]);
  fs::rename(store() + "/aside", tables[1]);
  ASSERT_GOOD(opened.Read(ids));
  EXPECT_EQ(opened.reader.asked_records(), ids.size());
}

TEST_P(RocksReaderTest, AReaderGoesOnWhenTheWriterDropsWhatItReads) {
  const std::vector<BlockId> ids = BlocksOf(1, 0, 8, 2, 2);
  const auto writer = OpenWriter(store());
  ASSERT_GOOD(WriteAll(*writer, ids, kPayloadBytes));
  Opened fresh(store(), GetParam()), used(store(), GetParam());
  ASSERT_GOOD(used.Read(ids));
  ASSERT_GOOD(writer->DropExtent(1, 0));
  ASSERT_TRUE(Tables().empty());
  ASSERT_GOOD(fresh.Read(ids));
  ASSERT_GOOD(used.Read(ids));
}

TEST_P(RocksReaderTest, AWriterReadsManyFilesWithoutAskingRocks) {
  constexpr uint32_t kFiles = 60;
  {
    const auto writer = OpenWriter(store());
    for (uint32_t at = 0; at < kFiles; ++at) {
      ASSERT_GOOD(WriteAll(*writer, BlocksOf(1, at, 1, 2, 2), kPayloadBytes));
    }
  }
  Opened writer(store(), GetParam(), /*read_only=*/false);
  ASSERT_GOOD(writer.Read(BlocksOf(1, 0, kFiles, 2, 2)));
  EXPECT_EQ(writer.reader.asked_records(), 0u);
}

/// Its ends are those of a grid of equal records, and its size nearly so.
TEST_P(RocksReaderTest, AFileThatOnlySeemsPlainIsAskedOfRocks) {
  const std::vector<BlockId> ids = BlocksOf(1, 0, 8, 2, 2);
  {
    std::vector<std::vector<std::byte>> bytes;
    for (size_t i = 0; i < ids.size(); ++i) {
      bytes.push_back(RecordOf(ids[i], kPayloadBytes + (i == 5 ? 8 : 0)));
    }
    std::vector<BlockRecord> records;
    for (size_t i = 0; i < ids.size(); ++i) records.push_back({ids[i], bytes[i]});
    ASSERT_GOOD(OpenWriter(store())->WriteBlocks(records));
  }
  Opened opened(store(), GetParam());
  std::vector<BlockId> equal = ids;
  std::erase(equal, ids[5]);
  ASSERT_GOOD(opened.Read(equal));
  EXPECT_EQ(opened.reader.asked_records(), ids.size() - 6);
  ASSERT_GOOD(opened.Read(equal));
  EXPECT_EQ(opened.reader.asked_records(), ids.size() - 6 + equal.size());
  EXPECT_ERROR(opened.Read({ids[5]}), Errc::kCorruption, ToString(ids[5]));
}

INSTANTIATE_TEST_SUITE_P(Ways, RocksReaderTest,
                         testing::Values(BlockReads::kAuto, BlockReads::kThreads),
                         [](const auto& info) {
                           return info.param == BlockReads::kAuto ? "Auto" : "Threads";
                         });

}  // namespace
}  // namespace cairn
