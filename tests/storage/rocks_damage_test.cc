// Damage to the files of a store: every read is right or an error, never wrong.
#include <filesystem>
#include <fstream>
#include <iterator>

#include "storage/catalog_format.h"
#include "storage/rocks_cold_store.h"
#include "storage/rocks_log.h"
#include "storage/session_catalog.h"
#include "store_fixture.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr size_t kPayloadBytes = 3000;
constexpr uint32_t kBlocks = 12;

void FlipByteAt(const fs::path& path, uint64_t offset) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset));
  const char flipped = static_cast<char>(file.get() ^ 0x10);
  file.seekp(static_cast<std::streamoff>(offset));
  file.put(flipped);
  ASSERT_TRUE(file.good());
}

/// The largest file in the store whose name contains `part`.
fs::path LargestFile(const std::string& store, const std::string& part) {
  fs::path largest;
  for (const auto& entry : fs::recursive_directory_iterator(store)) {
    if (entry.path().filename().string().find(part) == std::string::npos) continue;
    if (largest.empty() || entry.file_size() > fs::file_size(largest)) largest = entry.path();
  }
  return largest;
}

/// A store with one session of three commits.
void MakeStore(const std::string& path) {
  const auto store = OpenWriter(path);
  SessionCatalog catalog = SessionCatalog::Open(*store, false).value();
  SessionRecord record = catalog.Create("novel", "{\"title\": \"x\"}").value();
  const uint64_t extent = catalog.NewExtent().value();
  ASSERT_GOOD(WriteAll(*store, BlocksOf(extent, 0, kBlocks, 1, 1), kPayloadBytes));
  record.ranges = {{extent, 0, kBlocks}};
  for (uint32_t commit = 0; commit < 3; ++commit) {
    record.tokens += 2;
    record.tail_bytes = 40;
    ASSERT_GOOD(catalog.Commit({.record = record,
                                .new_tokens = {commit, commit + 1},
                                .tail = std::string(40, static_cast<char>('a' + commit))}));
  }
}

TEST(RocksDamage, AFlippedByteInASegmentIsAnErrorThatNamesTheBlock) {
  std::mt19937_64 random = SeededRandom();
  const TempDirectory directory;
  const std::string pristine = directory.path() + "/pristine";
  MakeStore(pristine);
  ASSERT_GE(fs::file_size(LargestFile(pristine, ".seg")), kBlocks * kPayloadBytes);
  for (int round = 0; round < 25; ++round) {
    fs::remove_all(directory.store());
    fs::copy(pristine, directory.store(), fs::copy_options::recursive);
    const uint32_t offset = Pick(random, kBlocks * kPayloadBytes);
    FlipByteAt(LargestFile(directory.store(), ".seg"), offset);
    const auto store = OpenRocks(directory.store(), {});
    for (const BlockId& id : BlocksOf(1, 0, kBlocks, 1, 1)) {
      if (id.ordinal != offset / kPayloadBytes) {
        ExpectReads(*store, id, kPayloadBytes);
      } else {
        EXPECT_ERROR(ReadOne(*store, id, kPayloadBytes), Errc::kCorruption, ToString(id));
      }
    }
    // What is damaged can still be deleted.
    Result<SessionCatalog> catalog = SessionCatalog::Open(*store, false);
    ASSERT_GOOD(catalog);
    ASSERT_GOOD(catalog.value().Delete("novel"));
    EXPECT_TRUE(store->Extents().value().empty());
  }
}

TEST(RocksDamage, ALostOrShortSegmentIsAnErrorThatNamesTheBlock) {
  const TempDirectory directory;
  MakeStore(directory.store());
  const fs::path segment = LargestFile(directory.store(), ".seg");
  fs::resize_file(segment, 4 * kPayloadBytes + 100);
  for (const bool read_only : {true, false}) {
    const auto store = OpenRocks(directory.store(), {.read_only = read_only});
    ExpectReads(*store, {1, 3, 0, 0}, kPayloadBytes);
    EXPECT_ERROR(ReadOne(*store, {1, 4, 0, 0}, kPayloadBytes), Errc::kCorruption, "cut short");
  }
  fs::remove(segment);
  for (const bool read_only : {true, false}) {
    const auto store = OpenRocks(directory.store(), {.read_only = read_only});
    EXPECT_ERROR(ReadOne(*store, {1, 3, 0, 0}, kPayloadBytes), Errc::kCorruption, "is lost");
  }
}

/// The entries that tell where blocks lie and what they are like.
TEST(RocksDamage, ADamagedEntryOfARunIsAnErrorThatNamesTheBlockAndNothingIsFreed) {
  for (const std::string prefix : {"r/", "c/"}) {
    const TempDirectory directory;
    MakeStore(directory.store());
    {
      const auto store = OpenRocks(directory.store(), {});
      ASSERT_GOOD(KeepAll(*store, BlocksOf(2, 0, 3, 1, 1), kPayloadBytes));
      MetaEntries entries = store->ScanMeta(prefix).value();
      ASSERT_EQ(entries.size(), 2u) << prefix;
      entries[0].second[9] ^= 1;
      ASSERT_GOOD(store->WriteMeta({.puts = {entries[0]}}));
    }
    const uint64_t bytes = fs::file_size(LargestFile(directory.store(), ".seg"));
    const auto store = OpenRocks(directory.store(), {});
    EXPECT_EQ(fs::file_size(LargestFile(directory.store(), ".seg")), bytes);
    EXPECT_EQ(store->Extents().value(), (std::vector<uint64_t>{1, 2}));
    EXPECT_ERROR(ReadOne(*store, {1, 3, 0, 0}, kPayloadBytes), Errc::kCorruption,
                 "extent 1 block 3");
    ExpectReads(*store, {2, 1, 0, 0}, kPayloadBytes);
    // It goes on, and damage can be deleted.
    ASSERT_GOOD(KeepAll(*store, BlocksOf(3, 0, 3, 1, 1), kPayloadBytes));
    ExpectReads(*store, {3, 1, 0, 0}, kPayloadBytes);
    ExpectReads(*store, {2, 2, 0, 0}, kPayloadBytes);
    ASSERT_GOOD(store->DropExtent(1, 0));
    EXPECT_EQ(store->Extents().value(), (std::vector<uint64_t>{2, 3}));
  }
}

/// Nobody knows what a store without it is, so nothing may go before somebody has looked.
TEST(RocksDamage, WithoutTheEntryOfTheFormatNothingIsFreed) {
  const TempDirectory directory;
  MakeStore(directory.store());
  const std::string key(kFormatKey);
  std::string format;
  {
    const auto store = OpenRocks(directory.store(), {});
    format = store->ReadMeta(key).value().value();
    ASSERT_GOOD(store->WriteMeta({.deletes = {key}}));
  }
  const fs::path nobodys = directory.store() + "/blocks/00000007.seg";
  std::ofstream(nobodys) << "of no run";
  {
    const auto store = OpenRocks(directory.store(), {});
    EXPECT_TRUE(fs::exists(nobodys));
    EXPECT_ERROR(SessionCatalog::Open(*store, false), Errc::kCorruption, "no entry 'format'");
    EXPECT_TRUE(fs::exists(nobodys));
    ASSERT_GOOD(store->WriteMeta({.puts = {{key, format}}}));
  }
  ASSERT_NE(OpenRocks(directory.store(), {}), nullptr);
  EXPECT_FALSE(fs::exists(nobodys));
}

/// Opens the store's catalog and reads the session; success only if it is as MakeStore left it.
Status ReadSession(const std::string& path) {
  CAIRN_TRY(const auto store, RocksColdStore::Open(path, {.read_threads = 2}));
  CAIRN_TRY(const SessionCatalog catalog, SessionCatalog::Open(*store, true));
  CAIRN_TRY(const SessionRecord record, catalog.Find("novel"));
  CAIRN_TRY(const std::vector<uint32_t> tokens, catalog.ReadTokens(record));
  CAIRN_TRY(const std::string tail, catalog.ReadTail(record));
  EXPECT_EQ(tokens, (std::vector<uint32_t>{0, 1, 1, 2, 2, 3}));
  EXPECT_EQ(tail, std::string(40, 'c'));
  CAIRN_TRY(const std::vector<uint64_t> extents, store->Extents());
  EXPECT_EQ(extents, (std::vector<uint64_t>{1}));
  return Ok();
}

/// A flipped byte must not take the store back to an earlier commit, or lose blocks, in silence.
TEST(RocksDamage, AFlippedByteInLogOrManifestIsAnErrorOrHarmless) {
  std::mt19937_64 random = SeededRandom();
  const TempDirectory directory;
  const std::string pristine = directory.path() + "/pristine";
  MakeStore(pristine);
  for (const std::string file : {".log", "MANIFEST"}) {
    const uint64_t file_bytes = fs::file_size(LargestFile(pristine, file));
    int errors = 0;
    for (int round = 0; round < 20; ++round) {
      fs::remove_all(directory.store());
      fs::copy(pristine, directory.store(), fs::copy_options::recursive);
      FlipByteAt(LargestFile(directory.store(), file),
                 Pick(random, static_cast<uint32_t>(file_bytes)));
      errors += ReadSession(directory.store()) ? 0 : 1;
    }
    EXPECT_GE(errors, 10) << file;
  }
  ASSERT_GOOD(ReadSession(pristine));
}

/// RocksDB takes a manifest that ends between two records for a whole one: the store would be what
/// it was before table files were written, and logs since deleted would be missing.
TEST(RocksDamage, AManifestThatEndsEarlierIsAnError) {
  const TempDirectory directory;
  const std::string pristine = directory.path() + "/pristine";
  MakeStore(pristine);
  {
    const auto store = RocksColdStore::Open(pristine, {.meta_buffer_bytes = 64 << 10});
    ASSERT_GOOD(store);
    SessionCatalog catalog = SessionCatalog::Open(*store.value(), false).value();
    for (int i = 0; i < 6; ++i) {  // each fills the buffer, so that it goes to a table file
      SessionRecord record = catalog.Create("old", "{}").value();
      record.tail_bytes = 70 << 10;
      ASSERT_GOOD(catalog.Commit({.record = record, .tail = std::string(70 << 10, 't')}));
      ASSERT_GOOD(catalog.Delete("old"));
    }
  }
  ASSERT_GOOD(ReadSession(pristine));
  const std::string name = LargestFile(pristine, "MANIFEST").filename().string();
  std::ifstream file(pristine + "/db/" + name, std::ios::binary);
  const std::string manifest(std::istreambuf_iterator<char>(file), {});
  int ends = 0;
  for (size_t end = 0; end < manifest.size(); ++end) {
    if (SoundBytes(std::string_view(manifest).substr(0, end)) != end) continue;
    for (const bool read_only : {true, false}) {
      fs::remove_all(directory.store());
      fs::copy(pristine, directory.store(), fs::copy_options::recursive);
      fs::resize_file(directory.store() + "/db/" + name, end);
      const auto opened = RocksColdStore::Open(directory.store(), {.read_only = read_only});
      EXPECT_FALSE(opened.has_value()) << name << " ends at " << end;
    }
    ++ends;
  }
  EXPECT_GE(ends, 3);
}

}  // namespace
}  // namespace cairn
