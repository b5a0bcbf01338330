#include "storage/rocks_database.h"

#include <rocksdb/convenience.h>
#include <rocksdb/transaction_log.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "storage/rocks_recovery.h"

namespace cairn {

Result<std::unique_ptr<RocksDatabase>> RocksDatabase::Open(StoreDirectory directory,
                                                           const RocksSetup& setup) {
  auto database = std::make_unique<RocksDatabase>(std::move(directory), setup);
  database->has_reserve_ = database->directory_.HasReserve();
  CAIRN_TRY(database->OpenDbOnAnyDisk());
  return database;
}

Status RocksDatabase::OpenDbOnAnyDisk() {
  Status status = OpenDb(setup_.read_only);
  if (status || setup_.read_only || status.error().code != Errc::kOutOfSpace) return status;
  GiveUpReserve();
  return OpenDb(false);
}

Status RocksDatabase::KeepReserve() {
  const std::lock_guard lock(reserve_mutex_);
  if (has_reserve_) return Ok();
  CAIRN_TRY(directory_.MakeReserve());
  has_reserve_ = true;
  return Ok();
}

void RocksDatabase::GiveUpReserve() {
  const std::lock_guard lock(reserve_mutex_);
  directory_.RemoveReserve();
  has_reserve_ = false;
}

Status RocksDatabase::OpenDb(bool read_only) {
  RocksSetup setup = setup_;
  setup.read_only = read_only;
  if (!read_only) return OpenToWrite(setup);
  // Beside a writer files come and go: look again.
  constexpr int kAttempts = 8;
  Status status = OpenToRead(setup);
  for (int attempt = 1; attempt < kAttempts && !status; ++attempt) status = OpenToRead(setup);
  return status;
}

rocksdb::Status RocksDatabase::OpenFiles(RocksSetup setup) {
  const rocksdb::DBOptions options = MakeDbOptions(setup);
  std::vector<std::string> names;
  // Of a database that cannot be read, opening it tells why.
  (void)rocksdb::DB::ListColumnFamilies(options, directory_.db_path(), &names);
  setup.old = std::ranges::count(names, kPayloadFamily) > 0;
  const std::vector<rocksdb::ColumnFamilyDescriptor> families = MakeFamilies(setup);
  std::vector<rocksdb::ColumnFamilyHandle*> handles;
  rocksdb::DB* opened = nullptr;
  const std::string path = directory_.db_path();
  rocksdb::Status status =
      setup.read_only ? rocksdb::DB::OpenForReadOnly(options, path, families, &handles, &opened)
                      : rocksdb::DB::Open(options, path, families, &handles, &opened);
  if (!status.ok()) return status;
  db_.reset(opened);
  meta_ = handles[0];
  old_payload_ = handles.size() > 1 ? handles[1] : nullptr;
  return status;
}

Status RocksDatabase::OpenToRead(const RocksSetup& setup) {
  CAIRN_TRY(const std::optional<Acknowledged> mark,
            ReadAcknowledged(directory_.acknowledged_path()));
  CAIRN_TRY(const std::vector<std::string> logs, ListLogs(setup, directory_));
  if (mark) CAIRN_TRY(CheckLogs(setup, directory_, *mark));
  CAIRN_TRY(FromRocks(OpenFiles(setup), "cannot open the store " + directory_.name()));
  const auto check = [&]() -> Status {
    CAIRN_TRY(CheckSequence(directory_, mark, db_->GetLatestSequenceNumber()));
    // The manifest was read before the logs. If the writer has moved a log into table files and
    // deleted it in between, its changes were seen in neither, and later ones perhaps were.
    CAIRN_TRY(const std::vector<std::string> left, ListLogs(setup, directory_));
    const auto is_left = [&left](const std::string& log) { return std::ranges::count(left, log); };
    if (std::ranges::all_of(logs, is_left)) return Ok();
    return Fail(Errc::kBusy, "the store {} was changed while it was being opened; try again",
                directory_.name());
  };
  Status status = check();
  if (!status) Close();
  return status;
}

/// Changes the database's files under RocksDB's own lock on them: that of the store is a file too,
/// and may have been removed while a writer holds it.
Status RocksDatabase::WhileLocked(const RocksSetup& setup, FunctionRef<Status()> change) const {
  rocksdb::FileLock* lock = nullptr;
  const rocksdb::Status locked = setup.env->LockFile(directory_.db_path() + "/LOCK", &lock);
  if (!locked.ok()) {
    return Fail(Errc::kBusy,
                "the database of the store {} is in use by another process, or cannot be locked; "
                "wait for it or use another --store ({})",
                directory_.name(), locked.ToString());
  }
  const Status changed = change();
  (void)setup.env->UnlockFile(lock);
  return changed;
}

Status RocksDatabase::OpenToWrite(const RocksSetup& setup) {
  CAIRN_TRY(const std::optional<Acknowledged> mark,
            ReadAcknowledged(directory_.acknowledged_path()));
  CAIRN_TRY(WhileLocked(setup, [&] { return PrepareToWrite(setup, directory_, mark); }));
  rocksdb::Status opened = OpenFiles(setup);
  if (opened.IsCorruption() && mark) {
    bool cut = false;
    CAIRN_TRY(WhileLocked(setup, [&]() -> Status {
      CAIRN_TRY(cut, CutUnacknowledged(setup, directory_, *mark));
      return Ok();
    }));
    if (cut) opened = OpenFiles(setup);
  }
  CAIRN_TRY(FromRocks(opened, "cannot open the store " + directory_.name(), FreeToOpen()));
  Status whole = CheckSequence(directory_, mark, db_->GetLatestSequenceNumber());
  if (whole) whole = BoundLogs(setup);
  if (whole) {
    Acknowledge();
  } else {
    Close();
  }
  return whole;
}

/// Writers that change little leave a log each, and all of them are read at each opening. What they
/// hold goes to a table file now and then; on a disk that has no room for one they stay.
Status RocksDatabase::BoundLogs(const RocksSetup& setup) {
  constexpr size_t kMostLogs = 8;
  CAIRN_TRY(const std::vector<std::string> logs, ListLogs(setup, directory_));
  if (logs.size() <= kMostLogs) return Ok();
  if (db_->Flush(rocksdb::FlushOptions(), meta_).ok()) return Ok();
  Close();
  return FromRocks(OpenFiles(setup), "cannot open the store " + directory_.name(), FreeToOpen());
}

Status RocksDatabase::DropOldPayload() {
  const std::unique_lock alone(mutex_);
  if (db_ == nullptr || old_payload_ == nullptr) return Ok();
  CAIRN_TRY(AfterWrite(db_->DropColumnFamily(old_payload_),
                       "cannot remove the old blocks of the store " + directory_.name()));
  (void)db_->DestroyColumnFamilyHandle(old_payload_);
  old_payload_ = nullptr;
  mark_versions_ = 0;
  Acknowledge();
  return Ok();
}

/// Another number whenever table files have come or gone, or the log has become another one.
uint64_t RocksDatabase::Versions() const {
  uint64_t sum = 0;
  for (rocksdb::ColumnFamilyHandle* family : {meta_, old_payload_}) {
    uint64_t version = 0;
    if (family == nullptr) continue;
    if (!db_->GetIntProperty(family, rocksdb::DB::Properties::kCurrentSuperVersionNumber,
                             &version)) {
      return 0;
    }
    sum += version;
  }
  return sum;
}

/// To list table files takes long if there are thousands: that is done only if they have changed,
/// and the log in use is asked for, not looked for among them.
void RocksDatabase::Acknowledge() {
  const std::lock_guard lock(mark_mutex_);
  Acknowledged mark = mark_;
  mark.sequence = db_->GetLatestSequenceNumber();
  const uint64_t versions = Versions();
  if (versions == 0 || versions != mark_versions_) {
    std::vector<std::string> files;
    if (!db_->GetLiveFiles(files, &mark.manifest_bytes, /*flush_memtable=*/false).ok()) return;
    for (const std::string& file : files) {  // as "/MANIFEST-000005"
      const uint64_t number = ManifestNumber(std::string_view(file).substr(1));
      if (number != 0) mark.manifest = number;
    }
  }
  std::unique_ptr<rocksdb::LogFile> log;
  if (!db_->GetCurrentWalFile(&log).ok()) return;
  mark.log = log->LogNumber();
  mark.log_bytes = log->SizeFileBytes();
  mark_ = mark;
  mark_versions_ = versions;
  WriteAcknowledged(directory_.acknowledged_path(), mark);
}

RocksDatabase::~RocksDatabase() {
  // Work in the background, which nobody waits for, may have made the manifest longer since.
  if (db_ != nullptr && !setup_.read_only && !broken_) {
    rocksdb::CancelAllBackgroundWork(db_.get(), /*wait=*/true);
    Acknowledge();
  }
  Close();
  if (remove_if_new_) directory_.RemoveNew();
}

void RocksDatabase::Close() {
  if (db_ == nullptr) return;
  if (old_payload_ != nullptr) (void)db_->DestroyColumnFamilyHandle(old_payload_);
  (void)db_->DestroyColumnFamilyHandle(meta_);
  old_payload_ = nullptr;
  (void)db_->Close();
  db_.reset();
}

Status RocksDatabase::OpenAgain() {
  const std::unique_lock alone(mutex_);
  if (!broken_) return Ok();
  Close();
  stale_ = false;
  mark_versions_ = 0;
  const Status status = OpenDbOnAnyDisk();
  broken_ = !status;
  // Until it works, what is there can at least be read.
  if (!status) (void)OpenDb(true);
  return status;
}

Result<RocksDatabase::Access> RocksDatabase::Read() {
  if (stale_) (void)OpenAgain();
  std::shared_lock lock(mutex_);
  if (db_ == nullptr) {
    return Fail(Errc::kIo,
                "the store {} could not be opened again after a failed write; make sure its disk "
                "works and is not full, then open the store anew",
                directory_.name());
  }
  return Access{std::move(lock), db_.get(), meta_, old_payload_};
}

Status RocksDatabase::WriteOnce(Purpose purpose, FunctionRef<Status(const Access&)> write) {
  if (broken_) CAIRN_TRY(OpenAgain());
  if (purpose == Purpose::kAdd) CAIRN_TRY(KeepReserve());
  CAIRN_TRY(const Access access, Read());
  return write(access);
}

Status RocksDatabase::Write(Purpose purpose, FunctionRef<Status(const Access&)> write) {
  if (setup_.read_only) {
    return Fail(Errc::kInvalidArgument, "the store {} is open for reading only", directory_.name());
  }
  Status status = WriteOnce(purpose, write);
  if (status || purpose == Purpose::kAdd || status.error().code != Errc::kOutOfSpace) {
    return status;
  }
  GiveUpReserve();
  return WriteOnce(purpose, write);
}

Status RocksDatabase::AfterWrite(const rocksdb::Status& status, std::string_view action) {
  if (status.ok()) {
    Acknowledge();
    return Ok();
  }
  broken_ = true;
  stale_ = true;
  return RocksError(status, action);
}

}  // namespace cairn
