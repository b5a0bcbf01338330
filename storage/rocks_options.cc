#include "storage/rocks_options.h"

#include <rocksdb/cache.h>
#include <rocksdb/table.h>
#include <sys/resource.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>

#include "base/byte_size.h"

namespace cairn {
namespace {

/// Swallows RocksDB's own log: on a full disk an assertion in its writer would end the process, and
/// a reader must leave no files in a store that a writer owns.
class NullLogger final : public rocksdb::Logger {
 public:
  using rocksdb::Logger::Logv;
  void Logv(const char*, va_list) override {}
};

/// A reader opens all files at once, if the process may have that many: beside it a writer may
/// delete them. A writer opens those it needs. Else three quarters of what the process may have.
int MaxOpenFiles(bool read_only) {
  constexpr rlim_t kPlenty = 65536;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 512;
  if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= kPlenty) return read_only ? -1 : kPlenty;
  return static_cast<int>(std::max<rlim_t>(64, limit.rlim_cur / 4 * 3));
}

rocksdb::ColumnFamilyOptions MakeCommonOptions() {
  rocksdb::ColumnFamilyOptions options;
  options.compression = rocksdb::kNoCompression;
  options.bottommost_compression = rocksdb::kNoCompression;
  options.ttl = 0;
  options.periodic_compaction_seconds = 0;
  return options;
}

}  // namespace

rocksdb::DBOptions MakeDbOptions(const RocksSetup& setup) {
  rocksdb::DBOptions options;
  options.env = setup.env;
  options.create_if_missing = setup.create;
  options.create_missing_column_families = !setup.read_only;
  options.use_direct_reads = setup.direct_io;
  options.use_direct_io_for_flush_and_compaction = setup.direct_io;
  options.max_open_files = MaxOpenFiles(setup.read_only);
  options.max_file_opening_threads = setup.read_threads;
  // RocksDB would open files to count their entries, which nobody asks for.
  options.skip_stats_update_on_db_open = true;
  options.max_background_jobs = 2;
  // After an error we open the database anew; RocksDB need not look for a way back beside that.
  options.max_bgerror_resume_count = 0;
  // Logs are read at each opening.
  options.max_total_wal_size = 4 * setup.meta_buffer_bytes;
  // Every write is synced before it is acknowledged, so only an unacknowledged last one may be
  // torn; damage anywhere before it must be an error, not the silent loss of what follows.
  options.wal_recovery_mode = rocksdb::WALRecoveryMode::kTolerateCorruptedTailRecords;
  // Opening must need next to no space: on a full disk it comes before deleting.
  options.avoid_flush_during_recovery = true;
  options.allow_fallocate = false;  // the log would set 17 MiB aside, and a small disk not have it
  options.stats_dump_period_sec = 0;
  options.stats_persist_period_sec = 0;
  options.info_log = std::make_shared<NullLogger>();
  return options;
}

rocksdb::ColumnFamilyOptions MakeMetaOptions(const RocksSetup& setup) {
  rocksdb::ColumnFamilyOptions options = MakeCommonOptions();
  options.write_buffer_size = setup.meta_buffer_bytes;
  rocksdb::BlockBasedTableOptions table;
  table.checksum = rocksdb::kXXH3;
  table.block_cache = rocksdb::NewLRUCache(8 * kMiB);
  options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
  return options;
}

std::vector<rocksdb::ColumnFamilyDescriptor> MakeFamilies(const RocksSetup& setup) {
  std::vector<rocksdb::ColumnFamilyDescriptor> families = {
      {rocksdb::kDefaultColumnFamilyName, MakeMetaOptions(setup)}};
  if (setup.old) families.emplace_back(kPayloadFamily, MakeCommonOptions());
  return families;
}

std::string FreeToOpen(uint64_t bytes) {
  return fmt::format(
      "nothing committed is lost, and commands that only read still open it. Free {} on the disk "
      "by "
      "other means: to delete sessions the store has to be opened so first",
      bytes == 0 ? "some space" : "at least " + FormatByteSize(bytes));
}

Status SyncFile(rocksdb::Env* env, const std::string& path, std::string_view action) {
  std::unique_ptr<rocksdb::WritableFile> file;
  CAIRN_TRY(FromRocks(env->ReopenWritableFile(path, &file, rocksdb::EnvOptions()), action));
  CAIRN_TRY(FromRocks(file->Fsync(), action, FreeToOpen()));
  return FromRocks(file->Close(), action, FreeToOpen());
}

namespace {

/// RocksDB has no status for a disk quota that is used up; it says what the system says.
bool IsNoSpace(const rocksdb::Status& status, const std::string& text) {
  return status.IsNoSpace() ||
         (status.IsIOError() && text.find(std::strerror(EDQUOT)) != std::string::npos);
}

}  // namespace

Error RocksError(const rocksdb::Status& status, std::string_view action,
                 std::string_view when_full) {
  const std::string text = status.ToString();
  if (IsNoSpace(status, text)) {
    return Fail(Errc::kOutOfSpace, "{}: the disk is full; {} ({})", action, when_full, text);
  }
  if (status.IsCorruption()) return Fail(Errc::kCorruption, "{}: {}", action, text);
  if (status.IsNotFound()) return Fail(Errc::kNotFound, "{}: {}", action, text);
  return Fail(Errc::kIo, "{}: {}", action, text);
}

}  // namespace cairn
