#include "storage/rocks_recovery.h"

#include <rocksdb/db.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/rocks_log.h"

namespace cairn {
namespace {

constexpr std::string_view kManifestPrefix = "MANIFEST-";
constexpr const char* kCurrent = "CURRENT";

uint64_t NumberIn(std::string_view digits) {
  uint64_t number = 0;
  const char* const end = digits.data() + digits.size();
  return std::from_chars(digits.data(), end, number).ptr == end ? number : 0;
}

/// Of a name as "000004.log".
uint64_t LogNumber(std::string_view name) { return NumberIn(name.substr(0, name.find('.'))); }

class Recovery {
 public:
  Recovery(const RocksSetup& setup, const StoreDirectory& directory)
      : setup_(setup),
        env_(setup.env),
        path_(directory.db_path()),
        mark_path_(directory.acknowledged_path()),
        action_("cannot open the store " + directory.path()) {}

  Status List();
  const std::vector<std::string>& logs() const { return logs_; }
  Status SecureLogs(const Acknowledged& mark) const;
  Status RemoveEmptyLogs();
  Status CheckCurrent() const;
  Status CheckLogs(const Acknowledged& mark);
  Status CheckManifest(const Acknowledged& mark) const;
  Status CutManifest(const Acknowledged& mark) const;
  Result<bool> CutToMark(const StoreDirectory& directory, const Acknowledged& mark) const;
  Status CutLogs(const StoreDirectory& directory, const Acknowledged& mark);

 private:
  struct LogExtent {
    uint64_t bytes = 0;
    uint64_t sound_bytes = 0;
  };
  Result<LogExtent> ExtentOf(const std::string& name);
  Result<uint64_t> ReadableSequence() const;
  Result<std::string> CurrentManifest() const;
  Result<std::string> Read(const std::string& name) const;
  Status Resize(const std::string& name, uint64_t bytes, std::string_view more = {}) const;
  Status WriteAnew(const std::string& name) const;
  std::string PathOf(const std::string& name) const { return path_ + "/" + name; }

  const RocksSetup& setup_;
  rocksdb::Env* const env_;
  const std::string path_;
  const std::string mark_path_;
  const std::string action_;
  std::vector<std::string> logs_;
  std::map<std::string, LogExtent> extents_;  // of the logs that were read so far
  bool has_tables_ = false;
  bool has_current_ = false;
};

Status Recovery::List() {
  std::vector<std::string> names;
  CAIRN_TRY(FromRocks(env_->GetChildren(path_, &names), action_));
  for (std::string& name : names) {
    has_tables_ = has_tables_ || name.ends_with(".sst");
    has_current_ = has_current_ || name == kCurrent;
    if (name.ends_with(".log")) logs_.push_back(std::move(name));
  }
  std::ranges::sort(logs_, {}, LogNumber);
  return Ok();
}

/// A log that a killed process has written is in the page cache and perhaps not on the disk. What
/// is read from it now must not get lost once later changes rest on it. Behind the mark a sync is
/// not enough: one may have failed before, in a process that is gone, and the next says nothing of
/// it.
Status Recovery::SecureLogs(const Acknowledged& mark) const {
  if (logs_.empty()) return Ok();
  for (const std::string& name : logs_) {
    uint64_t bytes = 0;
    CAIRN_TRY(FromRocks(env_->GetFileSize(PathOf(name), &bytes), action_));
    const uint64_t number = LogNumber(name);
    const uint64_t synced = number < mark.log ? bytes : number == mark.log ? mark.log_bytes : 0;
    if (bytes > synced) {
      CAIRN_TRY(WriteAnew(name));
    } else if (bytes > 0) {
      CAIRN_TRY(SyncFile(env_, PathOf(name), action_));
    }
  }
  std::unique_ptr<rocksdb::Directory> directory;
  CAIRN_TRY(FromRocks(env_->NewDirectory(path_, &directory), action_));
  return FromRocks(directory->Fsync(), action_);
}

/// Puts a copy that is synced in the file's place. RocksDB removes what a kill leaves of one.
Status Recovery::WriteAnew(const std::string& name) const {
  CAIRN_TRY(const std::string bytes, Read(name));
  const std::string copy = PathOf(name.substr(0, name.find('.')) + ".dbtmp");
  const auto write = [&]() -> rocksdb::Status {
    std::unique_ptr<rocksdb::WritableFile> file;
    rocksdb::Status status = env_->NewWritableFile(copy, &file, rocksdb::EnvOptions());
    if (status.ok()) status = file->Append(rocksdb::Slice(bytes));
    if (status.ok()) status = file->Fsync();
    if (status.ok()) status = file->Close();
    return status.ok() ? env_->RenameFile(copy, PathOf(name)) : status;
  };
  const rocksdb::Status written = write();
  if (!written.ok()) (void)env_->DeleteFile(copy);
  return FromRocks(written, action_, FreeToOpen(bytes.size()));
}

/// Each writer begins a log, and many write nothing. The last one stays, empty or not: until there
/// is a newer one it tells that RocksDB has not lost the one of the mark but done with it.
Status Recovery::RemoveEmptyLogs() {
  std::vector<std::string> left;
  for (std::string& name : logs_) {
    uint64_t bytes = 0;
    CAIRN_TRY(FromRocks(env_->GetFileSize(PathOf(name), &bytes), action_));
    if (bytes == 0 && &name != &logs_.back()) {
      CAIRN_TRY(FromRocks(env_->DeleteFile(PathOf(name)), action_));
    } else {
      left.push_back(std::move(name));
    }
  }
  logs_ = std::move(left);
  return Ok();
}

/// RocksDB would take a database without CURRENT for a new one, and delete what is there.
Status Recovery::CheckCurrent() const {
  if (has_current_ || (logs_.empty() && !has_tables_)) return Ok();
  return Fail(Errc::kCorruption, "{}: {} is lost and other files are there; bring it back", action_,
              PathOf(kCurrent));
}

/// A log before the one in use was whole when that was begun. Whether one is lost cannot be told:
/// RocksDB deletes those whose changes are in table files, in any order.
Status Recovery::CheckLogs(const Acknowledged& mark) {
  bool found = mark.log_bytes == 0;
  for (const std::string& name : logs_) {
    const uint64_t number = LogNumber(name);
    found = found || number >= mark.log;
    if (number > mark.log) break;
    CAIRN_TRY(const LogExtent log, ExtentOf(name));
    if (log.sound_bytes >= (number == mark.log ? mark.log_bytes : log.bytes)) continue;
    return Fail(
        Errc::kCorruption,
        "{}: the log {} is damaged; bring it back, or remove {} to open the store with what "
        "can be read of it",
        action_, PathOf(name), mark_path_);
  }
  if (found) return Ok();
  return Fail(Errc::kCorruption,
              "{}: the last log of {} is lost; bring it back, or remove {} to open the store "
              "without it",
              action_, path_, mark_path_);
}

/// A log does not change before RocksDB opens it, so it is read once.
Result<Recovery::LogExtent> Recovery::ExtentOf(const std::string& name) {
  const auto known = extents_.find(name);
  if (known != extents_.end()) return known->second;
  CAIRN_TRY(const std::string log, Read(name));
  const LogExtent extent{log.size(), SoundBytes(log)};
  extents_.emplace(name, extent);
  return extent;
}

Result<std::string> Recovery::Read(const std::string& name) const {
  std::string bytes;
  CAIRN_TRY(FromRocks(rocksdb::ReadFileToString(env_, PathOf(name), &bytes), action_));
  return bytes;
}

/// Makes the file end after `bytes` bytes, then `more`.
Status Recovery::Resize(const std::string& name, uint64_t bytes, std::string_view more) const {
  std::unique_ptr<rocksdb::WritableFile> file;
  CAIRN_TRY(
      FromRocks(env_->ReopenWritableFile(PathOf(name), &file, rocksdb::EnvOptions()), action_));
  CAIRN_TRY(FromRocks(file->Truncate(bytes), action_));
  if (!more.empty()) {
    CAIRN_TRY(FromRocks(file->Append(rocksdb::Slice(more)), action_, FreeToOpen(more.size())));
  }
  CAIRN_TRY(FromRocks(file->Fsync(), action_, FreeToOpen()));
  return FromRocks(file->Close(), action_, FreeToOpen());
}

Result<std::string> Recovery::CurrentManifest() const {
  CAIRN_TRY(std::string name, Read(kCurrent));
  while (!name.empty() && name.back() == '\n') name.pop_back();
  return name;
}

/// RocksDB takes a manifest that ends between two records for a whole one, and the database for
/// what it was then: older, and perhaps with logs that were deleted since.
Status Recovery::CheckManifest(const Acknowledged& mark) const {
  if (!has_current_ || mark.manifest == 0) return Ok();  // another check's, or nothing was made
  CAIRN_TRY(const std::string name, CurrentManifest());
  const uint64_t number = ManifestNumber(name);
  if (number == 0 || number > mark.manifest) return Ok();
  if (number == mark.manifest) {
    std::string manifest;
    const rocksdb::Status read = rocksdb::ReadFileToString(env_, PathOf(name), &manifest);
    if (read.IsNotFound() || read.IsPathNotFound()) return Ok();  // the writer has a new one
    CAIRN_TRY(FromRocks(read, action_));
    if (SoundBytes(manifest) >= mark.manifest_bytes) return Ok();
  }
  return Fail(
      Errc::kCorruption,
      "{}: {} has less than was acknowledged; bring it back, or remove {} to open the store "
      "as it was before",
      action_, PathOf(name), mark_path_);
}

Status Recovery::CutManifest(const Acknowledged& mark) const {
  CAIRN_TRY(const std::string name, CurrentManifest());
  const uint64_t number = ManifestNumber(name);
  if (number == 0 || number < mark.manifest) return Ok();  // RocksDB will say what is wrong
  CAIRN_TRY(const std::string manifest, Read(name));
  const uint64_t sound = SoundBytes(manifest);
  const uint64_t acknowledged = number == mark.manifest ? mark.manifest_bytes : 1;
  if (sound == manifest.size() || sound < acknowledged) return Ok();
  return Resize(name, sound);
}

Result<bool> Recovery::CutToMark(const StoreDirectory& directory, const Acknowledged& mark) const {
  CAIRN_TRY(const std::string name, CurrentManifest());
  if (ManifestNumber(name) != mark.manifest) return false;
  CAIRN_TRY(const std::string manifest, Read(name));
  if (manifest.size() <= mark.manifest_bytes) return false;
  CAIRN_TRY(Resize(name, mark.manifest_bytes));
  const Result<uint64_t> sequence = ReadableSequence();
  if (sequence && CheckSequence(directory, mark, sequence.value())) return true;
  CAIRN_TRY(
      Resize(name, mark.manifest_bytes, std::string_view(manifest).substr(mark.manifest_bytes)));
  return false;
}

/// The last change that the database has as it is.
Result<uint64_t> Recovery::ReadableSequence() const {
  RocksSetup setup = setup_;
  setup.read_only = true;
  rocksdb::DBOptions options = MakeDbOptions(setup);
  options.max_open_files = 64;  // few are needed
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* opened = nullptr;
  CAIRN_TRY(FromRocks(
      rocksdb::DB::OpenForReadOnly(options, path_, MakeFamilies(setup), &handles, &opened),
      action_));
  const std::unique_ptr<rocksdb::DB> db(opened);
  const uint64_t sequence = db->GetLatestSequenceNumber();
  for (rocksdb::ColumnFamilyHandle* handle : handles) (void)db->DestroyColumnFamilyHandle(handle);
  return sequence;
}

Status Recovery::CutLogs(const StoreDirectory& directory, const Acknowledged& mark) {
  struct TornLog {
    std::string name;
    uint64_t sound_bytes;
    std::string rest;
  };
  std::vector<TornLog> torn;
  for (const std::string& name : logs_) {
    CAIRN_TRY(const LogExtent extent, ExtentOf(name));
    if (extent.sound_bytes == extent.bytes) continue;
    CAIRN_TRY(const std::string log, Read(name));
    torn.push_back({name, extent.sound_bytes, log.substr(extent.sound_bytes)});
  }
  if (torn.empty()) return Ok();
  for (const TornLog& log : torn) CAIRN_TRY(Resize(log.name, log.sound_bytes));
  const Result<uint64_t> sequence = ReadableSequence();
  Status whole = Ok();
  if (!sequence) {
    whole = sequence.error();
  } else {
    whole = CheckSequence(directory, mark, sequence.value());
  }
  if (whole) return Ok();
  // Something else is wrong: whoever looks into it finds all that was there.
  for (const TornLog& log : torn) CAIRN_TRY(Resize(log.name, log.sound_bytes, log.rest));
  return whole;
}

}  // namespace

uint64_t ManifestNumber(std::string_view name) {
  if (!name.starts_with(kManifestPrefix)) return 0;
  return NumberIn(name.substr(kManifestPrefix.size()));
}

Status CheckSequence(const StoreDirectory& directory, const std::optional<Acknowledged>& mark,
                     uint64_t sequence) {
  if (!mark || sequence >= mark->sequence) return Ok();
  return Fail(Errc::kCorruption,
              "the log of the store {} is damaged: it can be read up to change {} and {} were "
              "acknowledged; bring back its files, or remove {} to open it as it is",
              directory.path(), sequence, mark->sequence, directory.acknowledged_path());
}

Result<bool> CutUnacknowledged(const RocksSetup& setup, const StoreDirectory& directory,
                               const Acknowledged& mark) {
  return Recovery(setup, directory).CutToMark(directory, mark);
}

Result<std::vector<std::string>> ListLogs(const RocksSetup& setup,
                                          const StoreDirectory& directory) {
  Recovery recovery(setup, directory);
  CAIRN_TRY(recovery.List());
  return recovery.logs();
}

Status CheckLogs(const RocksSetup& setup, const StoreDirectory& directory,
                 const Acknowledged& mark) {
  Recovery recovery(setup, directory);
  CAIRN_TRY(recovery.List());
  CAIRN_TRY(recovery.CheckManifest(mark));
  return recovery.CheckLogs(mark);
}

Status PrepareToWrite(const RocksSetup& setup, const StoreDirectory& directory,
                      const std::optional<Acknowledged>& mark) {
  Recovery recovery(setup, directory);
  CAIRN_TRY(recovery.List());
  if (mark) {
    CAIRN_TRY(recovery.CheckManifest(*mark));
    CAIRN_TRY(recovery.CheckLogs(*mark));
  }
  CAIRN_TRY(recovery.CheckCurrent());
  CAIRN_TRY(recovery.RemoveEmptyLogs());
  if (mark) {
    // A store that is being made for the first time has no manifest yet.
    if (directory.HoldsStore()) CAIRN_TRY(recovery.CutManifest(*mark));
    CAIRN_TRY(recovery.CutLogs(directory, *mark));
  }
  return recovery.SecureLogs(mark.value_or(Acknowledged()));
}

}  // namespace cairn
