// Batches of blocks out of segments: what they serve is what was written, and nothing else.
#include <algorithm>
#include <filesystem>
#include <fstream>

#include "storage/rocks_cold_store.h"
#include "store_fixture.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

class RocksReadTest : public testing::TestWithParam<BlockReads> {
 protected:
  std::string store() const { return directory_.store(); }
  std::unique_ptr<RocksColdStore> Reader() const {
    return OpenRocks(store(), {.read_only = true, .block_reads = GetParam()});
  }
  std::vector<fs::path> Segments() const {
    std::vector<fs::path> paths;
    for (const auto& entry : fs::directory_iterator(store() + "/blocks")) {
      paths.push_back(entry.path());
    }
    std::ranges::sort(paths);
    return paths;
  }
  /// Reads all of `ids` into memory that begins `skip` bytes behind a page.
  static Status Read(ColdStore& cold, const std::vector<BlockId>& ids, size_t payload_bytes,
                     size_t skip = 0) {
    constexpr size_t kPageBytes = 4096;
    std::vector<std::byte> memory(ids.size() * payload_bytes + 2 * kPageBytes);
    const auto address = reinterpret_cast<uintptr_t>(memory.data());
    std::byte* const begin = memory.data() + (kPageBytes - address % kPageBytes) + skip;
    std::vector<std::byte*> targets;
    for (size_t i = 0; i < ids.size(); ++i) targets.push_back(begin + i * payload_bytes);
    CAIRN_TRY(cold.ReadBlocks(ids, payload_bytes, targets));
    for (size_t i = 0; i < ids.size(); ++i) {
      const std::vector<std::byte> read(targets[i], targets[i] + payload_bytes);
      EXPECT_EQ(read, PayloadOf(ids[i], payload_bytes)) << ToString(ids[i]);
    }
    return Ok();
  }

  TempDirectory directory_;
};

TEST_P(RocksReadTest, PayloadsOfAnySizeIntoMemoryOfAnyAlignment) {
  std::mt19937_64 random = SeededRandom();
  uint64_t extent = 1;
  for (const size_t payload_bytes : {1, 100, 4095, 4096, 5000, 16384, 100'000}) {
    const std::vector<BlockId> first = BlocksOf(extent, 0, 7, 3, 2),
                               second = BlocksOf(extent, 7, 5, 3, 2);
    std::vector<BlockId> all = first;
    all.insert(all.end(), second.begin(), second.end());
    {
      const auto writer = OpenWriter(store());
      ASSERT_GOOD(KeepAll(*writer, first, payload_bytes));
      ASSERT_GOOD(KeepAll(*writer, second, payload_bytes));
      ASSERT_GOOD(Read(*writer, all, payload_bytes));
    }
    const auto reader = Reader();
    for (const size_t skip : {0, 64, 4095}) {
      std::ranges::shuffle(all, random);
      ASSERT_GOOD(Read(*reader, all, payload_bytes, skip));
    }
    EXPECT_ERROR(Read(*reader, {first[0], {extent, 12, 0, 0}}, payload_bytes), Errc::kNotFound,
                 "block 12");
    EXPECT_ERROR(Read(*reader, {{extent, 3, 3, 0}}, payload_bytes), Errc::kNotFound, "layer 3");
    ++extent;
  }
}

/// A step may be written in the midst of a grid, and tests write what no session has.
TEST_P(RocksReadTest, RunsOfAnyForm) {
  constexpr size_t kPayloadBytes = 5000;
  std::mt19937_64 random = SeededRandom();
  const std::vector<BlockId> grid = BlocksOf(1, 0, 40, 3, 2);
  std::vector<BlockId> holes, others;
  for (const BlockId& id : BlocksOf(2, 0, 40, 3, 2)) {
    (Pick(random, 4) > 0 ? holes : others).push_back(id);
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
    ASSERT_GOOD(KeepAll(*writer, holes, kPayloadBytes));
  }
  const auto reader = Reader();
  ASSERT_GOOD(Read(*reader, grid, kPayloadBytes));
  ASSERT_GOOD(Read(*reader, holes, kPayloadBytes));
  for (const BlockId& id : others) {
    EXPECT_ERROR(Read(*reader, {id}, kPayloadBytes), Errc::kNotFound, ToString(id));
  }
}

TEST_P(RocksReadTest, DroppedBlocksAreNotFoundBeforeAndAfterAReopen) {
  constexpr size_t kPayloadBytes = 4096;
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
    ASSERT_GOOD(KeepAll(*writer, ids, kPayloadBytes));
    for (const BlockId& id : ids) ExpectReads(*writer, id, kPayloadBytes);
    ASSERT_GOOD(writer->DropExtent(1, 5));
    expect_cut(*writer);
    ASSERT_GOOD(KeepAll(*writer, BlocksOf(2, 0, 3, 2, 2), kPayloadBytes));
    ExpectReads(*writer, {2, 2, 1, 1}, kPayloadBytes);
    expect_cut(*writer);
  }
  expect_cut(*Reader());
  const auto writer = OpenRocks(store(), {.block_reads = GetParam()});
  expect_cut(*writer);
  ASSERT_GOOD(writer->DropExtent(2, 0));
  EXPECT_ERROR(ReadOne(*writer, {2, 2, 1, 1}, kPayloadBytes), Errc::kNotFound, "extent 2");
}

/// Each byte of a file, when it is another one than was written: read right, or an error.
TEST_P(RocksReadTest, DamageUnderAnOpenReaderIsNeverServed) {
  constexpr size_t kPayloadBytes = 4096;
  std::mt19937_64 random = SeededRandom();
  const std::vector<BlockId> ids = BlocksOf(1, 0, 8, 2, 2);
  ASSERT_GOOD(KeepAll(*OpenWriter(store()), ids, kPayloadBytes));
  const auto reader = Reader();
  ASSERT_GOOD(Read(*reader, ids, kPayloadBytes));
  for (int round = 0; round < 60; ++round) {
    const uint32_t offset = Pick(random, static_cast<uint32_t>(ids.size() * kPayloadBytes));
    const auto flip = [&] {
      std::fstream file(Segments().at(0), std::ios::in | std::ios::out | std::ios::binary);
      file.seekg(offset);
      const char flipped = static_cast<char>(file.get() ^ 0x10);
      file.seekp(offset);
      file.put(flipped);
    };
    flip();
    for (const BlockId& id : ids) {
      const Status status = Read(*reader, {id}, kPayloadBytes);
      if (status) continue;
      EXPECT_ERROR(status, Errc::kCorruption, ToString(ids[offset / kPayloadBytes]));
      EXPECT_EQ(id, ids[offset / kPayloadBytes]);
    }
    EXPECT_ERROR(Read(*reader, ids, kPayloadBytes), Errc::kCorruption,
                 ToString(ids[offset / kPayloadBytes]));
    flip();
  }
  ASSERT_GOOD(Read(*reader, ids, kPayloadBytes));
}

/// Files in each other's place have the same form and payloads that are whole: of other blocks.
TEST_P(RocksReadTest, BlocksOfASwappedFileAreNotServed) {
  constexpr size_t kPayloadBytes = 4096;
  for (const uint64_t extent : {1, 2}) {
    ASSERT_GOOD(KeepAll(*OpenRocks(store(), {.create = true, .segment_bytes = 70'000}),
                        BlocksOf(extent, 0, 4, 2, 2), kPayloadBytes));
  }
  const std::vector<fs::path> files = Segments();
  ASSERT_EQ(files.size(), 2u);
  fs::rename(files[0], store() + "/aside");
  fs::rename(files[1], files[0]);
  fs::rename(store() + "/aside", files[1]);
  const auto reader = Reader();
  for (const uint64_t extent : {1, 2}) {
    for (const BlockId& id : BlocksOf(extent, 0, 4, 2, 2)) {
      EXPECT_ERROR(ReadOne(*reader, id, kPayloadBytes), Errc::kCorruption, ToString(id));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Ways, RocksReadTest,
                         testing::Values(BlockReads::kAuto, BlockReads::kThreads),
                         [](const auto& info) {
                           return info.param == BlockReads::kAuto ? "Auto" : "Threads";
                         });

}  // namespace
}  // namespace cairn
