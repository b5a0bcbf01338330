// Upgrading a store of format 1: all that it held, whatever happens on the way.
#include "storage/rocks_upgrade.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "storage/block_run.h"
#include "storage/catalog_format.h"
#include "store_fixture.h"
#include "tests/support/power_cut_file_system.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr auto kNoWatch = [](uint64_t) { return Status(Ok()); };

/// All that an upgraded store has: its catalog without places of blocks, and all payloads.
struct Contents {
  MetaEntries entries{};
  std::map<BlockId, std::vector<std::byte>> payloads{};
  bool operator==(const Contents&) const = default;
};

Result<Contents> ReadAll(const std::string& path) {
  CAIRN_TRY(const auto store, RocksColdStore::Open(path, {.read_only = true, .read_threads = 1}));
  Contents contents;
  CAIRN_TRY(contents.entries, store->ScanMeta(""));
  CAIRN_TRY(const MetaEntries runs, store->ScanMeta(kRunPrefix));
  for (const auto& [key, value] : runs) {
    CAIRN_TRY(const BlockRun run, DecodeRun(key, value));
    for (uint32_t i = 0; i < run.blocks; ++i) {
      const BlockId id = run.At(i);
      std::vector<std::byte>& payload = contents.payloads[id];
      payload.resize(run.payload_bytes);
      std::byte* target = payload.data();
      CAIRN_TRY(store->ReadBlocks({&id, 1}, payload.size(), {&target, 1}));
    }
  }
  std::erase_if(contents.entries, [](const auto& entry) {
    return entry.first.starts_with(kRunPrefix) || entry.first.starts_with(kChecksumsPrefix);
  });
  return contents;
}

class RocksUpgrade : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(old_);
    const std::string unpack = "tar -xzf " CAIRN_TEST_DATA "/store_v1/store.tar.gz -C " + old_;
    ASSERT_EQ(std::system(unpack.c_str()), 0);
  }
  void Renew() const {
    fs::remove_all(directory_.store());
    fs::copy(old_, directory_.store(), fs::copy_options::recursive);
  }
  fs::path LargestTable() const {
    fs::path largest;
    for (const auto& entry : fs::directory_iterator(directory_.store() + "/db")) {
      if (entry.path().extension() != ".sst") continue;
      if (largest.empty() || fs::file_size(largest) < entry.file_size()) largest = entry.path();
    }
    return largest;
  }

  const TempDirectory directory_;
  const std::string old_ = directory_.path() + "/old";
};

TEST_F(RocksUpgrade, OtherUsesAreRefusedAndNameTheCommand) {
  Renew();
  for (const bool read_only : {true, false}) {
    EXPECT_ERROR(RocksColdStore::Open(directory_.store(), {.read_only = read_only}),
                 Errc::kUnsupported, "cairn upgrade --store " + directory_.store());
  }
  ASSERT_GOOD(UpgradeStore(directory_.store(), kNoWatch));
  ASSERT_GOOD(ReadAll(directory_.store()));
}

TEST_F(RocksUpgrade, AllIsThereAndTheOldIsGone) {
  Renew();
  const auto report = UpgradeStore(directory_.store(), kNoWatch);
  ASSERT_GOOD(report);
  EXPECT_EQ(report.value().format_before, 1u);
  const auto contents = ReadAll(directory_.store());
  ASSERT_GOOD(contents);
  EXPECT_EQ(contents.value().payloads.size(), report.value().blocks);
  EXPECT_GT(report.value().blocks, 10u);
  EXPECT_FALSE(fs::exists(directory_.store() + "/incoming"));
  const auto store = OpenRocks(directory_.store(), {});
  const std::vector<StoreFile> files = store->Files().value();
  for (const StoreFile& file : files) EXPECT_TRUE(file.payload || file.bytes < 64 << 10);
  const auto again = UpgradeStore(directory_.store(), kNoWatch);
  EXPECT_ERROR(again, Errc::kBusy, "in use");
}

TEST_F(RocksUpgrade, AStopLeavesTheOldStore) {
  Renew();
  const auto stopped = UpgradeStore(
      directory_.store(), [](uint64_t) -> Status { return Fail(Errc::kInterrupted, "stopped"); });
  if (!stopped) {
    EXPECT_ERROR(stopped, Errc::kInterrupted, "stopped");
  }
  ASSERT_GOOD(UpgradeStore(directory_.store(), kNoWatch));
  ASSERT_GOOD(ReadAll(directory_.store()));
}

TEST_F(RocksUpgrade, DamageInTheOldStoreIsToldAndChangesNothing) {
  Renew();
  const fs::path table = LargestTable();
  std::fstream file(table, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(3000);
  file.put('?').flush();
  const auto upgraded = UpgradeStore(directory_.store(), kNoWatch);
  EXPECT_ERROR(upgraded, Errc::kCorruption, "stays as it is");
  EXPECT_TRUE(fs::is_empty(directory_.store() + "/blocks"));
  EXPECT_ERROR(RocksColdStore::Open(directory_.store(), {}), Errc::kUnsupported, "format 1");
}

/// The power goes, or the process, at one change of a file after the other.
TEST_F(RocksUpgrade, AnInterruptionAnywhereLeavesTheOldOrTheNewStore) {
  std::mt19937_64 random = SeededRandom();
  Renew();
  ASSERT_GOOD(UpgradeStore(directory_.store(), kNoWatch));
  const Contents whole = ReadAll(directory_.store()).value();
  int old = 0, done = 0;
  for (uint64_t nth = 1 + Pick(random, 4);; nth += 4) {
    ASSERT_LT(nth, 500u);
    Renew();
    test::PowerCutDisk disk(directory_.store());
    disk.files().CutAt(nth);
    const auto upgraded = UpgradeStore(directory_.store(), kNoWatch, disk.env());
    if (!disk.files().off()) {
      ASSERT_GOOD(upgraded);
      break;
    }
    if (Pick(random, 3) > 0) disk.files().Restore(random);
    const auto opened = RocksColdStore::Open(directory_.store(), {.read_only = true});
    // Without a writer a torn end of the manifest is an error.
    if (!opened && opened.error().code != Errc::kCorruption) {
      EXPECT_ERROR(opened, Errc::kUnsupported, "format 1");
    }
    ++(opened ? done : old);
    ASSERT_GOOD(UpgradeStore(directory_.store(), kNoWatch));
    const auto contents = ReadAll(directory_.store());
    ASSERT_GOOD(contents);
    ASSERT_TRUE(contents.value() == whole) << "cut at change " << nth;
    ASSERT_NE(OpenWriter(directory_.store()), nullptr);
  }
  std::cout << old << " old and " << done << " upgraded\n";
  EXPECT_GT(old, 10);
  EXPECT_GT(done, 0);
}

}  // namespace
}  // namespace cairn
