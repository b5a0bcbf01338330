#include "tests/support/power_cut_file_system.h"

#include <cerrno>
#include <cstring>
#include <utility>

namespace cairn::test {
namespace {

using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

constexpr const char* kNames[] = {"read", "write", "sync", "create", "rename", "link", "delete"};

#define RETURN_IF_BAD(expression)      \
  do {                                 \
    IOStatus status_ = (expression);   \
    if (!status_.ok()) return status_; \
  } while (false)

class SequentialFile final : public rocksdb::FSSequentialFileOwnerWrapper {
 public:
  SequentialFile(PowerCutFileSystem& system, std::unique_ptr<rocksdb::FSSequentialFile> file)
      : FSSequentialFileOwnerWrapper(std::move(file)), system_(system) {}
  IOStatus Read(size_t bytes, const IOOptions& options, Slice* result, char* scratch,
                IODebugContext* context) override {
    RETURN_IF_BAD(system_.Enter(FileOperation::kRead));
    return FSSequentialFileOwnerWrapper::Read(bytes, options, result, scratch, context);
  }
  IOStatus PositionedRead(uint64_t offset, size_t bytes, const IOOptions& options, Slice* result,
                          char* scratch, IODebugContext* context) override {
    RETURN_IF_BAD(system_.Enter(FileOperation::kRead));
    return target()->PositionedRead(offset, bytes, options, result, scratch, context);
  }

 private:
  PowerCutFileSystem& system_;
};

class RandomAccessFile final : public rocksdb::FSRandomAccessFileOwnerWrapper {
 public:
  RandomAccessFile(PowerCutFileSystem& system, std::unique_ptr<rocksdb::FSRandomAccessFile> file)
      : FSRandomAccessFileOwnerWrapper(std::move(file)), system_(system) {}
  IOStatus Read(uint64_t offset, size_t bytes, const IOOptions& options, Slice* result,
                char* scratch, IODebugContext* context) const override {
    RETURN_IF_BAD(system_.Enter(FileOperation::kRead));
    return target()->Read(offset, bytes, options, result, scratch, context);
  }
  IOStatus MultiRead(rocksdb::FSReadRequest* requests, size_t count, const IOOptions& options,
                     IODebugContext* context) override {
    RETURN_IF_BAD(system_.Enter(FileOperation::kRead));
    return target()->MultiRead(requests, count, options, context);
  }

 private:
  PowerCutFileSystem& system_;
};

class WritableFile final : public rocksdb::FSWritableFileOwnerWrapper {
 public:
  WritableFile(PowerCutFileSystem& system, UnsyncedFiles::FileId id, const std::string& path,
               std::unique_ptr<rocksdb::FSWritableFile> file)
      : FSWritableFileOwnerWrapper(std::move(file)),
        system_(system),
        id_(id),
        betrayed_(system.Betrayed(path)) {}

  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* context) override {
    const IOStatus allowed = system_.Enter(FileOperation::kWrite);
    // A write that fails may have written a part.
    const Slice part = allowed.ok() ? data : Slice(data.data(), system_.off() ? 0 : PartOf(data));
    if (part.empty() && !data.empty()) return allowed;
    RETURN_IF_BAD(target()->Append(part, options, context));
    system_.files().Append(id_, part.ToStringView());
    return allowed;
  }
  IOStatus Append(const Slice& data, const IOOptions& options, const rocksdb::DataVerificationInfo&,
                  IODebugContext* context) override {
    return Append(data, options, context);
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options,
                            IODebugContext* context) override {
    const IOStatus allowed = system_.Enter(FileOperation::kWrite);
    constexpr size_t kPageBytes = 4096;  // what direct I/O can write a part of
    const size_t some = system_.off() ? 0 : PartOf(data) / kPageBytes * kPageBytes;
    const Slice part = allowed.ok() ? data : Slice(data.data(), some);
    if (part.empty() && !data.empty()) return allowed;
    RETURN_IF_BAD(target()->PositionedAppend(part, offset, options, context));
    system_.files().Write(id_, offset, part.ToStringView());
    return allowed;
  }
  IOStatus PositionedAppend(const Slice& data, uint64_t offset, const IOOptions& options,
                            const rocksdb::DataVerificationInfo&,
                            IODebugContext* context) override {
    return PositionedAppend(data, offset, options, context);
  }
  IOStatus Truncate(uint64_t bytes, const IOOptions& options, IODebugContext* context) override {
    RETURN_IF_BAD(system_.Enter(FileOperation::kWrite));
    RETURN_IF_BAD(target()->Truncate(bytes, options, context));
    system_.files().Truncate(id_, bytes);
    return IOStatus::OK();
  }
  IOStatus Sync(const IOOptions&, IODebugContext*) override {
    const IOStatus allowed = system_.Enter(FileOperation::kSync);
    if (allowed.ok() && !betrayed_) system_.files().Sync(id_);
    if (!allowed.ok() && !system_.off()) system_.files().FailSync(id_);
    return allowed;
  }
  IOStatus Fsync(const IOOptions& options, IODebugContext* context) override {
    return Sync(options, context);
  }
  IOStatus RangeSync(uint64_t, uint64_t, const IOOptions&, IODebugContext*) override {
    return IOStatus::OK();  // starts writing; promises nothing
  }

 private:
  static size_t PartOf(const Slice& data) { return data.size() / 2; }

  PowerCutFileSystem& system_;
  const UnsyncedFiles::FileId id_;
  const bool betrayed_;
};

class Directory final : public rocksdb::FSDirectory {
 public:
  Directory(PowerCutFileSystem& system, std::string path)
      : system_(system), path_(std::move(path)) {}
  IOStatus Fsync(const IOOptions&, IODebugContext*) override {
    RETURN_IF_BAD(system_.Enter(FileOperation::kSync));
    if (!system_.Betrayed(path_ + "/")) system_.files().SyncDirectory(path_);
    return IOStatus::OK();
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

 private:
  PowerCutFileSystem& system_;
  const std::string path_;
};

}  // namespace

const char* FileOperationName(FileOperation operation) {
  return kNames[static_cast<size_t>(operation)];
}

PowerCutFileSystem::PowerCutFileSystem(const std::string& store)
    : FileSystemWrapper(rocksdb::FileSystem::Default()),
      files_({UnsyncedFiles::Normal(store + "/db"), UnsyncedFiles::Normal(store + "/blocks")}) {}

void PowerCutFileSystem::CutAt(uint64_t nth) {
  const std::lock_guard lock(mutex_);
  cut_at_ = changes_ + nth;
}

bool PowerCutFileSystem::off() const {
  const std::lock_guard lock(mutex_);
  return off_;
}

uint64_t PowerCutFileSystem::changes() const {
  const std::lock_guard lock(mutex_);
  return changes_;
}

uint64_t PowerCutFileSystem::syncs() const {
  const std::lock_guard lock(mutex_);
  return syncs_;
}

void PowerCutFileSystem::Restore(std::mt19937_64& random) {
  files_.Restore(random);
  Revive();
}

void PowerCutFileSystem::Revive() {
  const std::lock_guard lock(mutex_);
  off_ = false;
  changes_ = cut_at_ = 0;
}

void PowerCutFileSystem::Fail(const Fault& fault) {
  const std::lock_guard lock(mutex_);
  order_ = Order{.fault = fault};
}

bool PowerCutFileSystem::armed() const {
  const std::lock_guard lock(mutex_);
  return order_ && !order_->met;
}

void PowerCutFileSystem::Heal() {
  const std::lock_guard lock(mutex_);
  order_.reset();
}

void PowerCutFileSystem::Betray(std::string part) {
  const std::lock_guard lock(mutex_);
  betrayed_ = std::move(part);
}

bool PowerCutFileSystem::Betrayed(const std::string& path) const {
  const std::lock_guard lock(mutex_);
  const std::string name = path.substr(path.rfind('/') + 1);
  return !betrayed_.empty() && (path.ends_with(betrayed_) || name.starts_with(betrayed_));
}

IOStatus PowerCutFileSystem::Enter(FileOperation operation) {
  const std::lock_guard lock(mutex_);
  if (operation == FileOperation::kSync) ++syncs_;
  if (operation != FileOperation::kRead) {
    ++changes_;
    if (cut_at_ > 0 && changes_ >= cut_at_) off_ = true;
    if (off_) return IOStatus::IOError("the power is off");
  }
  if (!order_ || order_->fault.operation != operation) return IOStatus::OK();
  Fault& fault = order_->fault;
  if (order_->met && !fault.stays) return IOStatus::OK();
  if (!order_->met && --fault.nth > 0) return IOStatus::OK();
  order_->met = true;
  // As RocksDB's own file system words it.
  if (fault.over_quota) return IOStatus::IOError("While writing", std::strerror(EDQUOT));
  return fault.no_space ? IOStatus::NoSpace("no space, as the test ordered")
                        : IOStatus::IOError("a fault, as the test ordered");
}

IOStatus PowerCutFileSystem::NewSequentialFile(const std::string& path, const FileOptions& options,
                                               std::unique_ptr<rocksdb::FSSequentialFile>* file,
                                               IODebugContext* context) {
  RETURN_IF_BAD(Enter(FileOperation::kRead));
  RETURN_IF_BAD(target()->NewSequentialFile(path, options, file, context));
  *file = std::make_unique<SequentialFile>(*this, std::move(*file));
  return IOStatus::OK();
}

IOStatus PowerCutFileSystem::NewRandomAccessFile(const std::string& path,
                                                 const FileOptions& options,
                                                 std::unique_ptr<rocksdb::FSRandomAccessFile>* file,
                                                 IODebugContext* context) {
  RETURN_IF_BAD(Enter(FileOperation::kRead));
  RETURN_IF_BAD(target()->NewRandomAccessFile(path, options, file, context));
  *file = std::make_unique<RandomAccessFile>(*this, std::move(*file));
  return IOStatus::OK();
}

IOStatus PowerCutFileSystem::NewWritableFile(const std::string& path, const FileOptions& options,
                                             std::unique_ptr<rocksdb::FSWritableFile>* file,
                                             IODebugContext* context) {
  RETURN_IF_BAD(Enter(FileOperation::kCreate));
  RETURN_IF_BAD(target()->NewWritableFile(path, options, file, context));
  const std::string normal = UnsyncedFiles::Normal(path);
  *file = std::make_unique<WritableFile>(*this, files_.Create(normal), normal, std::move(*file));
  return IOStatus::OK();
}

IOStatus PowerCutFileSystem::ReopenWritableFile(const std::string& path, const FileOptions& options,
                                                std::unique_ptr<rocksdb::FSWritableFile>* file,
                                                IODebugContext* context) {
  const std::string normal = UnsyncedFiles::Normal(path);
  UnsyncedFiles::FileId id = files_.Find(normal);
  RETURN_IF_BAD(Enter(FileOperation::kCreate));
  RETURN_IF_BAD(target()->ReopenWritableFile(path, options, file, context));
  if (id == 0) id = files_.Create(normal);
  *file = std::make_unique<WritableFile>(*this, id, normal, std::move(*file));
  return IOStatus::OK();
}

IOStatus PowerCutFileSystem::ReuseWritableFile(const std::string&, const std::string&,
                                               const FileOptions&,
                                               std::unique_ptr<rocksdb::FSWritableFile>*,
                                               IODebugContext*) {
  return IOStatus::NotSupported("the store is not set up to reuse files");
}

IOStatus PowerCutFileSystem::NewRandomRWFile(const std::string&, const FileOptions&,
                                             std::unique_ptr<rocksdb::FSRandomRWFile>*,
                                             IODebugContext*) {
  return IOStatus::NotSupported("the store is not set up to rewrite files");
}

IOStatus PowerCutFileSystem::NewDirectory(const std::string& path, const IOOptions& options,
                                          std::unique_ptr<rocksdb::FSDirectory>* directory,
                                          IODebugContext* context) {
  RETURN_IF_BAD(target()->NewDirectory(path, options, directory, context));
  *directory = std::make_unique<Directory>(*this, UnsyncedFiles::Normal(path));
  return IOStatus::OK();
}

IOStatus PowerCutFileSystem::DeleteFile(const std::string& path, const IOOptions& options,
                                        IODebugContext* context) {
  RETURN_IF_BAD(Enter(FileOperation::kDelete));
  RETURN_IF_BAD(target()->DeleteFile(path, options, context));
  files_.Delete(UnsyncedFiles::Normal(path));
  return IOStatus::OK();
}

IOStatus PowerCutFileSystem::Truncate(const std::string& path, size_t bytes,
                                      const IOOptions& options, IODebugContext* context) {
  RETURN_IF_BAD(Enter(FileOperation::kWrite));
  RETURN_IF_BAD(target()->Truncate(path, bytes, options, context));
  files_.Truncate(files_.Find(UnsyncedFiles::Normal(path)), bytes);
  return IOStatus::OK();
}

IOStatus PowerCutFileSystem::RenameFile(const std::string& from, const std::string& to,
                                        const IOOptions& options, IODebugContext* context) {
  RETURN_IF_BAD(Enter(FileOperation::kRename));
  RETURN_IF_BAD(target()->RenameFile(from, to, options, context));
  files_.Rename(UnsyncedFiles::Normal(from), UnsyncedFiles::Normal(to));
  return IOStatus::OK();
}

IOStatus PowerCutFileSystem::LinkFile(const std::string& from, const std::string& to,
                                      const IOOptions& options, IODebugContext* context) {
  RETURN_IF_BAD(Enter(FileOperation::kLink));
  RETURN_IF_BAD(target()->LinkFile(from, to, options, context));
  files_.Link(UnsyncedFiles::Normal(from), UnsyncedFiles::Normal(to));
  return IOStatus::OK();
}

}  // namespace cairn::test
