// A sync has failed, the process has ended, and the machine has not: what the next process reads is
// in the page cache and perhaps nowhere else, and no later sync of it says so.
#include <filesystem>

#include "catalog_fixture.h"
#include "tests/support/power_cut_file_system.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

using test::FileOperation;
using test::PowerCutDisk;

constexpr auto kNoWatch = [](uint64_t, uint64_t) { return Status(Ok()); };
const std::vector<uint32_t> kTokens = {1, 2, 3};

/// Sessions whose blocks lie in a segment each, so that there is something to compact.
void MakeStore(const std::string& path) {
  const auto store = OpenRocks(path, {.create = true, .segment_bytes = 4096});
  SessionCatalog catalog = OpenCatalog(*store);
  for (const char* name : {"a", "b", "c"}) {
    SessionRecord record = NewSession(catalog, name);
    ASSERT_GOOD(Extend(*store, catalog, record, 4, kTokens, "tail"));
  }
}

size_t Segments(const std::string& store) {
  const fs::directory_iterator files(store + "/blocks");
  return static_cast<size_t>(std::distance(fs::begin(files), fs::end(files)));
}

/// Compacts while the nth sync fails, and ends.
void CompactWithoutSync(PowerCutDisk& disk, const std::string& path, uint64_t nth) {
  const auto store = OpenRocks(path, {.env = disk.env()});
  disk.files().Fail({.operation = FileOperation::kSync, .nth = nth});
  CompactionReport report;
  const Status status = store->Compact(kNoWatch, report);
  EXPECT_FALSE(disk.files().armed()) << "there is no sync " << nth;
  disk.files().Heal();
  EXPECT_ERROR(status, Errc::kIo, "as the test ordered");
}

TEST(FailedSync, OfAProcessThatHasEndedLosesNothing) {
  std::mt19937_64 random = SeededRandom();
  const TempDirectory directory;
  const std::string pristine = directory.path() + "/pristine";
  MakeStore(pristine);
  const size_t segments = Segments(pristine);
  ASSERT_GE(segments, 3u);
  int compacted = 0;
  constexpr uint64_t kSyncs = 4;  // of the new segment, its directory and the log; one behind them
  for (uint64_t nth = 1; nth <= kSyncs; ++nth) {
    for (int remains = 0; remains < 3; ++remains) {
      fs::remove_all(directory.store());
      fs::copy(pristine, directory.store(), fs::copy_options::recursive);
      PowerCutDisk disk(directory.store());
      CompactWithoutSync(disk, directory.store(), nth);
      ASSERT_NE(OpenRocks(directory.store(), {.env = disk.env()}), nullptr);
      compacted += Segments(directory.store()) < segments ? 1 : 0;
      disk.files().Restore(random);
      const auto store = OpenRocks(directory.store(), {.env = disk.env()});
      ASSERT_NE(store, nullptr) << "sync " << nth;
      const SessionCatalog catalog = OpenCatalog(*store);
      for (const char* name : {"a", "b", "c"}) {
        ExpectWhole(*store, catalog, name, kTokens, "tail");
      }
      ASSERT_FALSE(HasFailure()) << "sync " << nth;
    }
  }
  EXPECT_GT(compacted, 0) << "nothing was freed";
}

}  // namespace
}  // namespace cairn
