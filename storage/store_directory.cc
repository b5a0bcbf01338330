#include "storage/store_directory.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <string_view>
#include <utility>

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr off_t kReserveBytes = 1 << 20;

/// The name of something in `path` that is no part of a store; empty if there is none.
Result<std::string> ForeignEntry(const std::string& path) {
  std::error_code error;
  fs::directory_iterator entries(path, error);
  if (error) return Fail(Errc::kIo, "cannot list {}: {}", path, error.message());
  for (; entries != fs::directory_iterator(); entries.increment(error)) {
    if (error) return Fail(Errc::kIo, "cannot list {}: {}", path, error.message());
    const std::string name = entries->path().filename().string();
    const std::string_view ours[] = {"db",      "blocks",       "lock",
                                     "reserve", "acknowledged", "lost+found"};
    if (std::ranges::find(ours, name) == std::end(ours)) return name;
  }
  return std::string();
}

Status MakeDirectory(const std::string& path) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return SystemError("create directory", path);
  }
  return Ok();
}

/// Of the files in a directory; those that vanish meanwhile are none.
uint64_t BytesOfFiles(const std::string& path) {
  constexpr uint64_t kStatBlockBytes = 512;
  DIR* const directory = opendir(path.c_str());
  if (directory == nullptr) return 0;
  uint64_t bytes = 0;
  while (const dirent* const entry = readdir(directory)) {
    if (entry->d_type == DT_DIR) continue;
    struct stat info {};
    const bool there = fstatat(dirfd(directory), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0;
    if (!there || !S_ISREG(info.st_mode)) continue;
    const auto size = static_cast<uint64_t>(info.st_size);
    const bool has_holes = std::string_view(entry->d_name).ends_with(".seg");
    const uint64_t allocated = static_cast<uint64_t>(info.st_blocks) * kStatBlockBytes;
    bytes += has_holes ? std::min(size, allocated) : size;
  }
  closedir(directory);
  return bytes;
}

/// An empty file, if there is none.
Status MakeFile(const std::string& path) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return SystemError("create", path);
  close(fd);
  return Ok();
}

}  // namespace

Error SystemError(std::string_view action, const std::string& path) {
  const int code = errno;
  const Errc kind = code == ENOSPC || code == EDQUOT ? Errc::kOutOfSpace : Errc::kIo;
  return Fail(kind, "cannot {} {}: {}", action, path, std::strerror(code));
}

Status SyncPath(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return SystemError("open", path);
  const int failed = fsync(fd);
  const Status status = failed == 0 ? Status(Ok()) : Status(SystemError("sync", path));
  close(fd);
  return status;
}

Result<StoreDirectory> StoreDirectory::Open(const std::string& name, Use use) {
  StoreDirectory directory(name);
  if (!directory.HoldsStore()) {
    if (use != Use::kWriteOrCreate) {
      return Fail(Errc::kNotFound,
                  "there is no store at {}; check --store, or create a session there first", name);
    }
    CAIRN_TRY(directory.Create());
    directory.is_new_ = true;
  }
  if (use == Use::kRead) return directory;
  CAIRN_TRY(directory.Lock());
  return directory;
}

Status StoreDirectory::Create() {
  std::error_code error;
  const bool existed = fs::exists(path_, error);
  had_directory_ = existed;
  if (existed && !fs::is_directory(path_, error)) {
    return Fail(Errc::kInvalidArgument, "{} is a file, not a directory; name another store", name_);
  }
  if (existed) {
    CAIRN_TRY(const std::string foreign, ForeignEntry(path_));
    if (!foreign.empty()) {
      return Fail(Errc::kInvalidArgument,
                  "{} holds '{}' and no store; name an empty or a new directory", name_, foreign);
    }
    if (chmod(path_.c_str(), 0700) != 0) return SystemError("make private", path_);
  }
  const fs::path parent = fs::path(path_).parent_path();
  if (!existed && !fs::exists(parent, error)) {
    return Fail(Errc::kNotFound, "cannot create the store {}: {} does not exist; create it first",
                name_, parent.string());
  }
  CAIRN_TRY(MakeDirectory(path_));
  CAIRN_TRY(MakeDirectory(db_path()));
  CAIRN_TRY(MakeDirectory(blocks_path()));
  CAIRN_TRY(MakeFile(acknowledged_path()));
  CAIRN_TRY(SyncPath(path_));
  return existed ? Status(Ok()) : SyncPath(parent.string());
}

Status StoreDirectory::Lock() {
  const std::string name = path_ + "/lock";
  lock_fd_ = open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock_fd_ < 0) {
    Error error = SystemError("open", name);
    error.message +=
        "; this command needs a store that can be written to: `cairn backup` makes a copy "
        "elsewhere (list, show, inspect, verify and serve only read)";
    return error;
  }
  if (flock(lock_fd_, LOCK_EX | LOCK_NB) == 0) {
    struct stat held {
    }, named{};
    const bool same = fstat(lock_fd_, &held) == 0 && stat(name.c_str(), &named) == 0 &&
                      held.st_dev == named.st_dev && held.st_ino == named.st_ino;
    if (same) return Ok();
    // Its last holder has removed the store that it had made, and the lock with it.
    return Fail(Errc::kBusy, "the store {} was being removed by another process; try again", name_);
  }
  if (errno != EWOULDBLOCK) return SystemError("lock", name);
  return Fail(Errc::kBusy,
              "the store {} is in use by another process; wait for it or use another --store",
              name_);
}

StoreDirectory::StoreDirectory(StoreDirectory&& other) noexcept
    : name_(std::move(other.name_)),
      path_(std::move(other.path_)),
      is_new_(other.is_new_),
      had_directory_(other.had_directory_),
      lock_fd_(std::exchange(other.lock_fd_, -1)) {}

StoreDirectory::~StoreDirectory() {
  if (lock_fd_ >= 0) close(lock_fd_);  // and with it the lock
}

bool StoreDirectory::HoldsStore() const {
  std::error_code ignored;
  return fs::exists(db_path() + "/CURRENT", ignored);
}

bool StoreDirectory::SupportsDirectIo() const {
  const std::string name = db_path() + "/CURRENT";
  int fd = open(name.c_str(), O_RDONLY | O_DIRECT | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT) {
    const std::string probe = db_path() + "/probe";
    fd = open(probe.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600);
    unlink(probe.c_str());
  }
  if (fd < 0) return false;
  close(fd);
  return true;
}

Status StoreDirectory::MakeReserve() const {
  const std::string name = path_ + "/reserve";
  const int fd = open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return SystemError("create", name);
  const int failure = posix_fallocate(fd, 0, kReserveBytes);
  close(fd);
  if (failure == 0) return Ok();
  RemoveReserve();
  errno = failure;
  return SystemError("keep some space free in", name);
}

void StoreDirectory::RemoveReserve() const { unlink((path_ + "/reserve").c_str()); }

bool StoreDirectory::HasReserve() const {
  struct stat info {};
  return stat((path_ + "/reserve").c_str(), &info) == 0 && info.st_size >= kReserveBytes;
}

void StoreDirectory::RemoveIncoming() const {
  std::error_code ignored;
  fs::remove_all(path_ + "/incoming", ignored);
}

void StoreDirectory::RemoveNew() const {
  if (!is_new_ || lock_fd_ < 0) return;
  std::error_code ignored;
  for (const char* name : {"db", "blocks", "reserve", "acknowledged", "lock"}) {
    fs::remove_all(path_ + "/" + name, ignored);
  }
  if (!had_directory_) rmdir(path_.c_str());
}

uint64_t StoreDirectory::Bytes() const {
  return BytesOfFiles(path_) + BytesOfFiles(db_path()) + BytesOfFiles(blocks_path());
}

}  // namespace cairn
