#include "storage/rocks_cold_store.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>

#include "storage/session_catalog.h"
#include "store_fixture.h"
#include "tests/support/power_cut_file_system.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPayloadBytes = 4000;

/// No file of this process may grow past `bytes` while the object lives.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    previous_handler_ = signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &previous_);
    const rlimit limit{bytes, previous_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &previous_);
    signal(SIGXFSZ, previous_handler_);
  }

 private:
  rlimit previous_{};
  sighandler_t previous_handler_;
};

TEST(RocksColdStore, KeepsBlocksAndMetadataOverAReopen) {
  const TempDirectory directory;
  const std::vector<BlockId> ids = BlocksOf(1, 0, 50, 2, 2);
  {
    const auto store = OpenWriter(directory.store());
    ASSERT_GOOD(WriteAll(*store, ids, kPayloadBytes));
    ASSERT_GOOD(store->WriteMeta({.puts = {{"key", "value"}}}));
    ASSERT_GOOD(store->DropExtent(1, 40));
    ASSERT_GOOD(WriteAll(*store, BlocksOf(2, 0, 3, 2, 2), kPayloadBytes));  // never committed
  }
  const auto store = OpenRocks(directory.store(), {});
  for (const BlockId& id : BlocksOf(1, 0, 40, 2, 2)) ExpectReads(*store, id, kPayloadBytes);
  EXPECT_ERROR(ReadOne(*store, {1, 40, 0, 0}, kPayloadBytes), Errc::kNotFound, "block 40");
  EXPECT_EQ(store->Extents().value(), std::vector<uint64_t>{1});
  EXPECT_EQ(store->ReadMeta("key").value(), std::optional<std::string>("value"));
}

/// The segments of a store, by name.
std::vector<fs::path> Segments(const std::string& store) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(store + "/blocks")) paths.push_back(entry.path());
  std::ranges::sort(paths);
  return paths;
}

TEST(RocksColdStore, LargeBatchesAreSplitIntoSegmentsAndRead) {
  const TempDirectory directory;
  const auto store = OpenRocks(directory.store(), {.create = true, .segment_bytes = 10 << 20});
  constexpr size_t kLargeBytes = 1 << 20;
  std::vector<BlockId> ids = BlocksOf(1, 0, 10, 2, 2);
  const std::vector<BlockId> second = BlocksOf(2, 0, 1, 1, 1);
  ids.insert(ids.end(), second.begin(), second.end());
  ASSERT_GOOD(WriteAll(*store, ids, kLargeBytes));
  for (const BlockId& id : ids) ExpectReads(*store, id, kLargeBytes);
  EXPECT_EQ(store->Extents().value(), (std::vector<uint64_t>{1, 2}));
  EXPECT_EQ(Segments(directory.store()).size(), 5u);  // four of ten blocks, one of the other extent
}

TEST(RocksColdStore, WritersGoOnInTheSegmentBefore) {
  const TempDirectory directory;
  for (uint32_t round = 0; round < 5; ++round) {
    const auto store = OpenWriter(directory.store());
    ASSERT_GOOD(KeepAll(*store, BlocksOf(1, 2 * round, 1, 2, 2), 8192));
    ASSERT_GOOD(KeepAll(*store, BlocksOf(1, 2 * round + 1, 1, 2, 2), 8192));
    ASSERT_GOOD(WriteAll(*store, BlocksOf(2, 0, 2, 1, 1), 100));  // which the next one drops
  }
  const auto store = OpenWriter(directory.store());
  ASSERT_EQ(Segments(directory.store()).size(), 1u);
  EXPECT_EQ(fs::file_size(Segments(directory.store())[0]), 40u * 8192);
  for (const BlockId& id : BlocksOf(1, 0, 10, 2, 2)) ExpectReads(*store, id, 8192);
}

TEST(RocksColdStore, TableFilesSayHowManyEntriesTheyHave) {
  const TempDirectory directory;
  {
    const auto store = OpenWriter(directory.store());
    ASSERT_GOOD(KeepAll(*store, BlocksOf(1, 0, 3, 2, 2), 4096));
    MetaBatch batch;
    for (int i = 0; i < 57; ++i) batch.puts.emplace_back(fmt::format("key{}", i), "value");
    ASSERT_GOOD(store->WriteMeta(batch));
    CompactionReport report;
    ASSERT_GOOD(store->Compact([](uint64_t, uint64_t) -> Status { return Ok(); }, report));
  }
  const auto store = OpenRocks(directory.store(), {.read_only = true});
  const std::vector<StoreFile> files = store->Files().value();
  uint64_t entries = 0;
  for (const StoreFile& file : files) entries += file.payload ? 0 : file.entries;
  EXPECT_EQ(entries, store->ScanMeta("").value().size());
}

TEST(RocksColdStore, AStoreIsToldFromOthers) {
  const TempDirectory directory, other;
  const uint64_t identity = OpenWriter(directory.store())->Stats().identity;
  EXPECT_NE(identity, 0u);
  EXPECT_EQ(OpenWriter(directory.store())->Stats().identity, identity);
  EXPECT_EQ(OpenRocks(directory.store(), {.read_only = true})->Stats().identity, identity);
  EXPECT_NE(OpenWriter(other.store())->Stats().identity, identity);
}

TEST(RocksColdStore, DroppedBlocksGiveTheirSpaceBack) {
  const TempDirectory directory;
  const auto store = OpenWriter(directory.store());
  for (const uint64_t extent : {1, 2, 3}) {
    ASSERT_GOOD(KeepAll(*store, BlocksOf(extent, 0, 64, 1, 1), 8192));
  }
  const uint64_t before = store->Stats().disk_bytes;
  ASSERT_GOOD(store->DropExtent(2, 0));  // in the middle of the segment
  EXPECT_LE(store->Stats().disk_bytes, before - 60 * 8192);
  ASSERT_GOOD(store->DropExtent(3, 32));  // its end
  EXPECT_EQ(fs::file_size(Segments(directory.store())[0]), (128u + 32) * 8192);
  for (const BlockId& id : BlocksOf(1, 0, 64, 1, 1)) ExpectReads(*store, id, 8192);
  for (const BlockId& id : BlocksOf(3, 0, 32, 1, 1)) ExpectReads(*store, id, 8192);
  ASSERT_GOOD(store->DropExtent(1, 0));
  ASSERT_GOOD(store->DropExtent(3, 0));
  EXPECT_TRUE(Segments(directory.store()).empty());
}

TEST(RocksColdStore, LogsOfWritersThatChangeLittleDoNotAddUp) {
  const TempDirectory directory;
  const auto logs = [&] {
    size_t count = 0;
    for (const auto& entry : fs::directory_iterator(directory.store() + "/db")) {
      count += entry.path().extension() == ".log" ? 1 : 0;
    }
    return count;
  };
  for (int i = 0; i < 5; ++i) OpenWriter(directory.store()).reset();
  EXPECT_LE(logs(), 3u);  // the first one, which has something; the last one before; a new one
  for (int i = 0; i < 30; ++i) {
    const auto store = OpenWriter(directory.store());
    ASSERT_GOOD(store->WriteMeta({.puts = {{"key", std::to_string(i)}}}));
    EXPECT_LE(logs(), 10u);
  }
  EXPECT_EQ(OpenWriter(directory.store())->ReadMeta("key").value(),
            std::optional<std::string>("29"));
}

TEST(RocksColdStore, IsPrivate) {
  const TempDirectory directory;
  const auto store = OpenWriter(directory.store());
  struct stat info {};
  ASSERT_EQ(stat(directory.store().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST(RocksColdStore, MissingOrForeignDirectoriesAreRefused) {
  const TempDirectory directory;
  EXPECT_ERROR(RocksColdStore::Open(directory.store(), {}), Errc::kNotFound, directory.store());
  EXPECT_ERROR(RocksColdStore::Open(directory.store(), {.read_only = true}), Errc::kNotFound,
               directory.store());
  EXPECT_FALSE(fs::exists(directory.store()));
  std::ofstream(directory.path() + "/thesis.txt") << "words";
  EXPECT_ERROR(RocksColdStore::Open(directory.path(), {.create = true}), Errc::kInvalidArgument,
               "thesis.txt");
  EXPECT_ERROR(RocksColdStore::Open(directory.path() + "/thesis.txt", {.create = true}),
               Errc::kInvalidArgument, "not a directory");
  EXPECT_ERROR(RocksColdStore::Open(directory.path() + "/no/store", {.create = true}),
               Errc::kNotFound, "/no does not exist");
  EXPECT_ERROR(RocksColdStore::Open(directory.store(), {.create = true, .read_threads = 0}),
               Errc::kInvalidArgument, "thread");
  fs::create_directory(directory.path() + "/empty");
  EXPECT_NE(OpenWriter(directory.path() + "/empty"), nullptr);
}

TEST(RocksColdStore, ASecondWriterIsToldToWait) {
  const TempDirectory directory;
  auto store = OpenWriter(directory.store());
  EXPECT_ERROR(RocksColdStore::Open(directory.store(), {.create = true}), Errc::kBusy,
               "is in use by another process; wait for it or use another --store");
  store.reset();
  EXPECT_NE(OpenWriter(directory.store()), nullptr);
}

/// Names and sizes of a store's logs.
std::map<std::string, uint64_t> Logs(const std::string& store) {
  std::map<std::string, uint64_t> logs;
  for (const auto& entry : fs::directory_iterator(store + "/db")) {
    if (entry.path().extension() == ".log") logs[entry.path().string()] = entry.file_size();
  }
  return logs;
}

/// People remove lock files.
TEST(RocksColdStore, ASecondWriterChangesNothingIfTheLockWasRemoved) {
  const TempDirectory directory;
  OpenWriter(directory.store()).reset();
  auto store = OpenWriter(directory.store());  // its log is empty
  fs::remove(directory.store() + "/lock");
  const auto logs = Logs(directory.store());
  ASSERT_EQ(logs.rbegin()->second, 0u);
  EXPECT_ERROR(RocksColdStore::Open(directory.store(), {}), Errc::kBusy,
               "is in use by another process");
  EXPECT_EQ(Logs(directory.store()), logs);
  ASSERT_GOOD(store->WriteMeta({.puts = {{"key", "kept"}}}));
  store.reset();
  store = OpenWriter(directory.store());
  EXPECT_EQ(store->ReadMeta("key").value(), std::optional<std::string>("kept"));
}

/// RocksDB knows a full disk, and nothing of quotas.
TEST(RocksColdStore, OverAQuotaTheReserveIsGivenUpToDelete) {
  const TempDirectory directory;
  test::PowerCutDisk disk(directory.store());
  const auto store = OpenRocks(directory.store(), {.create = true, .env = disk.env()});
  ASSERT_GOOD(KeepAll(*store, BlocksOf(1, 0, 10, 1, 1), kPayloadBytes));
  const std::string reserve = directory.store() + "/reserve";
  ASSERT_TRUE(fs::exists(reserve));
  disk.files().Fail({.operation = test::FileOperation::kWrite, .over_quota = true});
  EXPECT_ERROR(store->WriteMeta({.puts = {{"key", "more"}}}), Errc::kOutOfSpace,
               "free some space or delete sessions");
  disk.files().Fail({.operation = test::FileOperation::kWrite, .over_quota = true});
  ASSERT_GOOD(store->DropExtent(1, 0));
  EXPECT_FALSE(disk.files().armed());
  EXPECT_FALSE(fs::exists(reserve));
  EXPECT_TRUE(store->Extents().value().empty());
}

/// A log behind the mark is written anew first: what a failed sync leaves needs room for that.
TEST(RocksColdStore, OnAFullDiskOpeningSaysWhatHelpsWithoutIt) {
  const TempDirectory directory;
  test::PowerCutDisk disk(directory.store());
  const std::string value(50000, 'x');
  {
    const auto store = OpenRocks(directory.store(), {.create = true, .env = disk.env()});
    disk.files().Fail({.operation = test::FileOperation::kSync});
    EXPECT_ERROR(store->WriteMeta({.puts = {{"key", value}}}), Errc::kIo, "as the test ordered");
    disk.files().Heal();
  }
  disk.files().Fail({.operation = test::FileOperation::kWrite, .no_space = true, .stays = true});
  const auto opened = RocksColdStore::Open(directory.store(), {.env = disk.env()});
  EXPECT_ERROR(opened, Errc::kOutOfSpace, "nothing committed is lost");
  EXPECT_ERROR(opened, Errc::kOutOfSpace, "Free at least 48.9 KiB on the disk by other means");
  EXPECT_ERROR(opened, Errc::kOutOfSpace, "to delete sessions the store has to be opened so first");
  const auto reader = OpenRocks(directory.store(), {.read_only = true, .env = disk.env()});
  EXPECT_EQ(reader->ReadMeta("key").value(), std::optional<std::string>(value));
  disk.files().Heal();
  const auto store = OpenRocks(directory.store(), {.env = disk.env()});
  EXPECT_EQ(store->ReadMeta("key").value(), std::optional<std::string>(value));
}

TEST(RocksColdStore, AReaderWorksBesideTheWriter) {
  const TempDirectory directory;
  const auto writer = OpenWriter(directory.store());
  ASSERT_GOOD(WriteAll(*writer, BlocksOf(1, 0, 10, 1, 1), kPayloadBytes));
  ASSERT_GOOD(writer->WriteMeta({.puts = {{"key", "1"}}}));
  const auto reader = OpenRocks(directory.store(), {.read_only = true});
  ASSERT_GOOD(WriteAll(*writer, BlocksOf(1, 10, 10, 1, 1), kPayloadBytes));
  ASSERT_GOOD(writer->WriteMeta({.puts = {{"key", "2"}}}));
  EXPECT_ERROR(ReadOne(*reader, {1, 10, 0, 0}, kPayloadBytes), Errc::kNotFound, "block 10");
  ASSERT_GOOD(writer->DropExtent(1, 0));  // and with it the file
  for (const BlockId& id : BlocksOf(1, 0, 10, 1, 1)) ExpectReads(*reader, id, kPayloadBytes);
  EXPECT_EQ(reader->ReadMeta("key").value(), std::optional<std::string>("1"));
  EXPECT_ERROR(WriteAll(*reader, BlocksOf(5, 0, 1, 1, 1), kPayloadBytes), Errc::kInvalidArgument,
               "reading only");
  EXPECT_ERROR(reader->WriteMeta({.puts = {{"key", "3"}}}), Errc::kInvalidArgument, "reading only");
  EXPECT_ERROR(reader->DropExtent(1, 0), Errc::kInvalidArgument, "reading only");
}

/// What is deleted may still be there for a reader, or be an error: never other bytes.
TEST(RocksColdStore, AReaderOfWhatIsDeletedReadsItOrAnError) {
  const TempDirectory directory;
  const auto writer = OpenWriter(directory.store());
  for (const uint64_t extent : {1, 2}) {
    ASSERT_GOOD(KeepAll(*writer, BlocksOf(extent, 0, 10, 1, 1), kPayloadBytes));
  }
  const auto reader = OpenRocks(directory.store(), {.read_only = true});
  ASSERT_GOOD(writer->DropExtent(1, 0));
  ASSERT_GOOD(KeepAll(*writer, BlocksOf(3, 0, 10, 1, 1), kPayloadBytes));
  for (const BlockId& id : BlocksOf(1, 0, 10, 1, 1)) {
    const Status read = ReadOne(*reader, id, kPayloadBytes);
    if (read) {
      ExpectReads(*reader, id, kPayloadBytes);
    } else {
      EXPECT_ERROR(read, Errc::kCorruption, ToString(id));
    }
  }
  for (const BlockId& id : BlocksOf(2, 0, 10, 1, 1)) ExpectReads(*reader, id, kPayloadBytes);
}

TEST(RocksColdStore, StaysBelowItsDiskLimit) {
  const TempDirectory directory;
  constexpr uint64_t kLimitBytes = 4 << 20;
  const auto store =
      OpenRocks(directory.store(), {.create = true, .disk_limit_bytes = kLimitBytes});
  uint32_t written = 0;
  Status status = Ok();
  while ((status = WriteAll(*store, BlocksOf(1, written, 10, 4, 1), kPayloadBytes))) written += 10;
  EXPECT_ERROR(status, Errc::kOutOfSpace, "--disk-limit 4.0 MiB");
  EXPECT_GT(written, 100u);
  EXPECT_LE(store->Stats().disk_bytes, kLimitBytes);
  for (const BlockId& id : BlocksOf(1, 0, written, 4, 1)) ExpectReads(*store, id, kPayloadBytes);
  EXPECT_FALSE(ReadOne(*store, {1, written, 0, 0}, kPayloadBytes).has_value());
  ASSERT_GOOD(store->WriteMeta({.puts = {{"small", "things still fit"}}}));
  ASSERT_GOOD(store->DropExtent(1, written / 2));
  ASSERT_GOOD(WriteAll(*store, BlocksOf(2, 0, 10, 4, 1), kPayloadBytes));
}

TEST(RocksColdStore, TellsHowLargeItIs) {
  const TempDirectory directory;
  const auto expect_sizes = [&](RocksColdStore& store) {
    uint64_t bytes = 0, files = 0;
    for (const auto& entry : fs::recursive_directory_iterator(directory.store())) {
      if (!entry.is_regular_file()) continue;
      struct stat info {};
      stat(entry.path().c_str(), &info);
      const bool segment = entry.path().extension() == ".seg";
      bytes +=
          segment ? std::min<uint64_t>(entry.file_size(), info.st_blocks * 512) : entry.file_size();
      files += segment || entry.path().extension() == ".sst" ? 1 : 0;
    }
    EXPECT_EQ(store.Stats().disk_bytes, bytes);
    EXPECT_EQ(store.Stats().data_files, files);
  };
  const auto store = OpenWriter(directory.store());
  for (uint64_t extent = 1; extent <= 5; ++extent) {
    ASSERT_GOOD(WriteAll(*store, BlocksOf(extent, 0, 20, 2, 2), kPayloadBytes));
    ASSERT_GOOD(store->WriteMeta({.puts = {{"key", std::string(1000, 'x')}}}));
    expect_sizes(*store);
  }
  ASSERT_GOOD(store->DropExtent(2, 0));
  expect_sizes(*store);
  expect_sizes(*OpenRocks(directory.store(), {.read_only = true}));
}

TEST(RocksColdStore, AFailedWriteLeavesNothingAndTheStoreGoesOn) {
  const TempDirectory directory;
  const auto store = OpenWriter(directory.store());
  ASSERT_GOOD(WriteAll(*store, BlocksOf(1, 0, 10, 1, 1), kPayloadBytes));
  {
    const FileSizeLimit limit(64 << 10);
    const Status status = WriteAll(*store, BlocksOf(1, 10, 100, 1, 1), kPayloadBytes);
    EXPECT_ERROR(status, Errc::kIo, directory.store());
    for (const BlockId& id : BlocksOf(1, 0, 10, 1, 1)) ExpectReads(*store, id, kPayloadBytes);
  }
  EXPECT_FALSE(ReadOne(*store, {1, 10, 0, 0}, kPayloadBytes).has_value());
  ASSERT_GOOD(WriteAll(*store, BlocksOf(1, 10, 100, 1, 1), kPayloadBytes));
  for (const BlockId& id : BlocksOf(1, 0, 110, 1, 1)) ExpectReads(*store, id, kPayloadBytes);
}

TEST(RocksColdStore, AFailedMetadataWriteLeavesNothingAndTheStoreGoesOn) {
  const TempDirectory directory;
  {
    const auto store = OpenWriter(directory.store());
    ASSERT_GOOD(store->WriteMeta({.puts = {{"key", "before"}}}));
    {
      const FileSizeLimit limit(64 << 10);
      const std::string large(1 << 20, 'x');
      EXPECT_ERROR(store->WriteMeta({.puts = {{"key", large}, {"other", large}}}), Errc::kIo,
                   directory.store());
    }
    EXPECT_EQ(store->ReadMeta("other").value(), std::nullopt);
    EXPECT_EQ(store->ReadMeta("key").value(), std::optional<std::string>("before"));
    ASSERT_GOOD(store->WriteMeta({.puts = {{"key", "after"}}}));
    ASSERT_GOOD(KeepAll(*store, BlocksOf(1, 0, 10, 1, 1), kPayloadBytes));
  }
  const auto store = OpenWriter(directory.store());
  EXPECT_EQ(store->ReadMeta("other").value(), std::nullopt);
  EXPECT_EQ(store->ReadMeta("key").value(), std::optional<std::string>("after"));
  for (const BlockId& id : BlocksOf(1, 0, 10, 1, 1)) ExpectReads(*store, id, kPayloadBytes);
}

TEST(RocksColdStore, LeftoversOfAnInterruptedWriteAreRemoved) {
  const TempDirectory directory;
  ASSERT_GOOD(KeepAll(*OpenWriter(directory.store()), BlocksOf(1, 0, 10, 1, 1), kPayloadBytes));
  const fs::path segment = Segments(directory.store()).at(0);
  const uint64_t bytes = fs::file_size(segment);
  std::ofstream(directory.store() + "/blocks/00000007.seg") << "of no run";
  std::ofstream(segment, std::ios::app) << "behind all runs";
  const auto store = OpenWriter(directory.store());
  EXPECT_EQ(Segments(directory.store()), std::vector<fs::path>{segment});
  EXPECT_EQ(fs::file_size(segment), bytes);
  ASSERT_GOOD(WriteAll(*store, BlocksOf(1, 10, 10, 1, 1), kPayloadBytes));
  for (const BlockId& id : BlocksOf(1, 0, 20, 1, 1)) ExpectReads(*store, id, kPayloadBytes);
}

/// What a child does before it dies: one committed session, then blocks without a commit.
void CommitThenWriteMoreAndDie(const std::string& path) {
  const auto store = OpenWriter(path);
  Result<SessionCatalog> catalog = SessionCatalog::Open(*store, false);
  SessionRecord record = catalog.value().Create("novel", "{}").value();
  const uint64_t extent = catalog.value().NewExtent().value();
  if (!WriteAll(*store, BlocksOf(extent, 0, 10, 2, 1), kPayloadBytes)) _exit(1);
  record.tokens = 3;
  record.ranges = {{extent, 0, 10}};
  if (!catalog.value().Commit({.record = record, .new_tokens = {5, 6, 7}})) _exit(2);
  if (!WriteAll(*store, BlocksOf(extent, 10, 10, 2, 1), kPayloadBytes)) _exit(3);
  if (!store->WriteMeta({})) _exit(4);
  if (!WriteAll(*store, BlocksOf(extent + 1, 0, 10, 2, 1), kPayloadBytes)) _exit(5);
  _exit(7);
}

TEST(RocksColdStoreCrashTest, ACrashKeepsTheLastCommitAndDropsTheRest) {
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const TempDirectory directory(/*inherit=*/true);
  EXPECT_EXIT(CommitThenWriteMoreAndDie(directory.store()), testing::ExitedWithCode(7), "");
  const auto store = OpenRocks(directory.store(), {});
  ASSERT_NE(store, nullptr);
  EXPECT_EQ(store->Extents().value(), (std::vector<uint64_t>{1}));
  ExpectReads(*store, {1, 10, 0, 0}, kPayloadBytes);  // not committed, and noted
  Result<SessionCatalog> catalog = SessionCatalog::Open(*store, false);
  ASSERT_GOOD(catalog);
  const SessionRecord record = catalog.value().Find("novel").value();
  EXPECT_EQ(catalog.value().ReadTokens(record).value(), (std::vector<uint32_t>{5, 6, 7}));
  EXPECT_EQ(store->Extents().value(), (std::vector<uint64_t>{1}));
  for (const BlockId& id : BlocksOf(1, 0, 10, 2, 1)) ExpectReads(*store, id, kPayloadBytes);
  EXPECT_ERROR(ReadOne(*store, {1, 10, 0, 0}, kPayloadBytes), Errc::kNotFound, "block 10");
  ASSERT_GOOD(WriteAll(*store, BlocksOf(1, 10, 10, 2, 1), kPayloadBytes));  // resumes in place
  for (const BlockId& id : BlocksOf(1, 0, 20, 2, 1)) ExpectReads(*store, id, kPayloadBytes);
}

}  // namespace
}  // namespace cairn
