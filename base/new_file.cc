#include "base/new_file.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/plain_text.h"
#include "base/tell.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr int kMostLinks = 40;  // as the kernel follows
constexpr int kMostNames = 100;
constexpr int kWaitMs = 20;  // between two looks for a pipe's reader
constexpr int kSilentWaits = 1000 / kWaitMs;

bool (*stop_waiting)() = nullptr;

Error CannotWrite(const std::string& path, const char* action = "write") {
  const int code = errno;
  const Errc kind = code == ENOSPC || code == EDQUOT ? Errc::kOutOfSpace : Errc::kIo;
  return Fail(kind, "cannot {} {}: {}", action, path, std::strerror(code));
}

/// What a path leads to.
struct Place {
  std::string target;    // behind symbolic links
  int own_stream = -1;   // it is what this is: STDOUT_FILENO or STDERR_FILENO
  bool special = false;  // there, and no regular file
  bool pipe = false;
};

std::string FolderOf(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path();
  return folder.empty() ? "." : folder.string();
}

Result<Place> FindPlace(const std::string& path) {
  Place place{path};
  struct stat info {};
  if (stat(path.c_str(), &info) != 0) {
    if (errno != ENOENT && errno != ENOTDIR) return CannotWrite(path);
  } else if (S_ISDIR(info.st_mode)) {
    return Fail(Errc::kInvalidArgument, "{} is a directory; name a file", path);
  } else if (S_ISBLK(info.st_mode)) {
    return Fail(Errc::kInvalidArgument, "{} is a disk; name a file", path);
  } else {
    place.special = !S_ISREG(info.st_mode);
    place.pipe = S_ISFIFO(info.st_mode);
    for (const int stream : {STDOUT_FILENO, STDERR_FILENO}) {
      struct stat own {};
      if (place.own_stream >= 0 || fstat(stream, &own) != 0) continue;
      if ((fcntl(stream, F_GETFL) & O_ACCMODE) == O_RDONLY) continue;
      if (own.st_dev == info.st_dev && own.st_ino == info.st_ino) place.own_stream = stream;
    }
    if (place.special || place.own_stream >= 0) return place;
  }
  std::error_code error;
  for (int links = 0; fs::is_symlink(fs::symlink_status(place.target, error)); ++links) {
    const fs::path link = fs::read_symlink(place.target, error);
    if (error || links == kMostLinks) {
      errno = error ? error.value() : ELOOP;
      return CannotWrite(path);
    }
    place.target = (fs::path(FolderOf(place.target)) / link).string();
  }
  return place;
}

/// Opening a pipe that nobody reads would wait where no signal is seen.
Result<int> OpenPipe(const std::string& path) {
  for (int waits = 0;; ++waits) {
    const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) {
      if (fcntl(fd, F_SETFL, O_WRONLY) == 0) return fd;
      const Error error = CannotWrite(path);
      close(fd);
      return error;
    }
    if (errno != ENXIO) return CannotWrite(path);
    if (stop_waiting != nullptr && stop_waiting()) {
      return Fail(Errc::kInterrupted, "stopped; nobody has read the pipe {}", path);
    }
    if (waits == kSilentWaits) {
      Tell("waiting for somebody to read the pipe {}\n", ForTerminal(path));
    }
    (void)poll(nullptr, 0, kWaitMs);
  }
}

}  // namespace

void NewFile::StopWaitingIf(bool (*stopped)()) { stop_waiting = stopped; }

Status NewFile::Check(const std::string& path) {
  if (path.empty()) return Ok();
  CAIRN_TRY(const Place place, FindPlace(path));
  if (place.own_stream >= 0) return Ok();
  const std::string folder = FolderOf(place.target);
  std::error_code unknown;
  if (!place.special && !fs::is_directory(folder, unknown)) {
    return Fail(Errc::kNotFound, "cannot write {}: there is no directory {}; create it first", path,
                fs::absolute(folder, unknown).string());
  }
  if (access(place.special ? place.target.c_str() : folder.c_str(), W_OK) == 0) return Ok();
  return CannotWrite(path);
}

Result<NewFile> NewFile::Create(const std::string& path, mode_t mode) {
  CAIRN_TRY(const Place place, FindPlace(path));
  NewFile file;
  file.path_ = path;
  file.target_ = place.target;
  if (place.own_stream >= 0) {
    std::fflush(nullptr);  // what was printed stands before it
    file.fd_ = fcntl(place.own_stream, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
  } else if (place.pipe) {
    CAIRN_TRY(file.fd_, OpenPipe(path));
  } else if (place.special) {
    file.fd_ = open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY);
  }
  if (place.own_stream >= 0 || place.special) {
    if (file.fd_ < 0) return CannotWrite(path);
    return file;
  }
  const std::string beside = place.target + ".new";
  for (int number = 1; number <= kMostNames; ++number) {
    const std::string name = number == 1 ? beside : fmt::format("{}{}", beside, number);
    file.fd_ = open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (file.fd_ < 0 && errno == EEXIST) continue;
    if (file.fd_ < 0) return CannotWrite(name, "create");
    file.unfinished_ = name;
    return file;
  }
  return Fail(Errc::kExists, "cannot write {}: {} and {} others like it are there; remove them",
              path, beside, kMostNames - 1);
}

NewFile::~NewFile() {
  if (fd_ < 0) return;
  close(fd_);
  if (!unfinished_.empty()) unlink(unfinished_.c_str());
}

NewFile::NewFile(NewFile&& other) noexcept
    : path_(std::move(other.path_)),
      target_(std::move(other.target_)),
      unfinished_(std::move(other.unfinished_)),
      fd_(std::exchange(other.fd_, -1)) {}

Status NewFile::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(fd_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return CannotWrite(path_);
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return Ok();
}

Status NewFile::Finish() {
  if (unfinished_.empty()) {
    if (close(std::exchange(fd_, -1)) != 0) return CannotWrite(path_);
    return Ok();
  }
  if (fsync(fd_) != 0) return CannotWrite(unfinished_, "sync");
  if (rename(unfinished_.c_str(), target_.c_str()) != 0) return CannotWrite(path_, "create");
  close(std::exchange(fd_, -1));
  const std::string folder = FolderOf(target_);
  const int fd = open(folder.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return CannotWrite(folder, "open");
  const bool synced = fsync(fd) == 0;
  const Status status = synced ? Status(Ok()) : Status(CannotWrite(folder, "sync"));
  close(fd);
  return status;
}

Status WriteNewFile(const std::string& path, std::string_view text) {
  CAIRN_TRY(NewFile file, NewFile::Create(path));
  CAIRN_TRY(file.Write(text));
  return file.Finish();
}

}  // namespace cairn
