// Damage to the files of a store: every read is right or an error, never wrong.
#include <filesystem>
#include <fstream>
#include <iterator>

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
  for (const auto& entry : fs::directory_iterator(store + "/db")) {
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

TEST(RocksDamage, AFlippedByteInABlockFileIsAnErrorThatNamesTheBlock) {
  std::mt19937_64 random = SeededRandom();
  const TempDirectory directory;
  const std::string pristine = directory.path() + "/pristine";
  MakeStore(pristine);
  const uint64_t file_bytes = fs::file_size(LargestFile(pristine, ".sst"));
  ASSERT_GT(file_bytes, kBlocks * kPayloadBytes);
  int named = 0;
  for (int round = 0; round < 25; ++round) {
    fs::remove_all(directory.store());
    fs::copy(pristine, directory.store(), fs::copy_options::recursive);
    // Most often in the blocks, sometimes in the index and footer at the end.
    const uint64_t offset =
        round % 5 == 4 ? file_bytes - 1 - Pick(random, 900) : Pick(random, kBlocks * kPayloadBytes);
    FlipByteAt(LargestFile(directory.store(), ".sst"), offset);
    const Result<std::unique_ptr<RocksColdStore>> opened =
        RocksColdStore::Open(directory.store(), {.read_threads = 2});
    if (!opened) {
      EXPECT_NE(opened.error().message.find(directory.store()), std::string::npos);
      continue;
    }
    RocksColdStore& store = *opened.value();
    for (const BlockId& id : BlocksOf(1, 0, kBlocks, 1, 1)) {
      const Status status = ReadOne(store, id, kPayloadBytes);
      if (status) {
        ExpectReads(store, id, kPayloadBytes);
        continue;
      }
      EXPECT_ERROR(status, Errc::kCorruption, ToString(id));
      ++named;
    }
    // What is damaged can still be deleted.
    Result<SessionCatalog> catalog = SessionCatalog::Open(store, false);
    ASSERT_GOOD(catalog);
    ASSERT_GOOD(catalog.value().Delete("novel"));
    EXPECT_TRUE(store.Extents().value().empty());
  }
  EXPECT_GE(named, 15);
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
