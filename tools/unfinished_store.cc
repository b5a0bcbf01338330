#include "tools/unfinished_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "storage/store_directory.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kMark = "an unfinished cairn backup\n";

/// Whether `path` is a file that says what we write into it, or was about to.
bool IsMark(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  char text[64];
  const ssize_t size = read(fd, text, sizeof(text));
  close(fd);
  return size >= 0 && kMark.starts_with(std::string_view(text, static_cast<size_t>(size)));
}

}  // namespace

UnfinishedStore::UnfinishedStore(std::string target) : target_(std::move(target)) {
  while (target_.size() > 1 && target_.ends_with('/')) target_.pop_back();
}

UnfinishedStore::~UnfinishedStore() {
  if (mark_fd_ < 0) return;
  std::error_code ignored;
  fs::remove_all(path(), ignored);
  unlink(mark().c_str());
  rmdir(place().c_str());
  close(mark_fd_);
}

Status UnfinishedStore::RemoveRemains() {
  std::error_code error;
  if (!fs::exists(fs::symlink_status(place(), error))) return Ok();
  if (rmdir(place().c_str()) == 0) return Ok();  // it was empty
  const auto foreign = [&] {
    return Fail(Errc::kExists,
                "there is something at {} already, and no backup that was broken off has left it; "
                "remove it, or name another place for the copy",
                place());
  };
  if (!IsMark(mark())) return foreign();
  for (const auto& entry : fs::directory_iterator(place(), error)) {
    const std::string name = entry.path().filename().string();
    if (name != "store" && name != "backup") return foreign();
  }
  const int fd = open(mark().c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return SystemError("open", mark());
  const bool ours = flock(fd, LOCK_EX | LOCK_NB) == 0;
  if (ours) {
    fs::remove_all(path(), error);
    if (!error) fs::remove_all(place(), error);
  }
  close(fd);
  if (!ours) return Fail(Errc::kBusy, "another backup to {} is at work; wait for it", target_);
  if (error) return Fail(Errc::kIo, "cannot remove {}: {}", place(), error.message());
  return Ok();
}

Status UnfinishedStore::Lock() {
  const int fd = open(mark().c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return SystemError("create", mark());
  const bool written = flock(fd, LOCK_EX | LOCK_NB) == 0 &&
                       write(fd, kMark.data(), kMark.size()) == std::ssize(kMark);
  if (!written) {
    const Error error = SystemError("write", mark());
    close(fd);
    return error;
  }
  mark_fd_ = fd;
  return Ok();
}

Status UnfinishedStore::Make() {
  std::error_code error;
  if (fs::exists(fs::symlink_status(target_, error))) {
    return Fail(Errc::kExists, "there is something at {} already; name a new place for the copy",
                target_);
  }
  CAIRN_TRY(RemoveRemains());
  if (!fs::create_directory(place(), error)) {
    return Fail(Errc::kIo, "cannot create {}: {}", place(), error.message());
  }
  return Lock();
}

Status UnfinishedStore::Finish() {
  CAIRN_TRY(SyncPath(path()));
  // A rename takes the place of an empty directory, which somebody may have made meanwhile.
  if (std::rename(path().c_str(), target_.c_str()) != 0) return SystemError("rename", path());
  std::error_code error;
  return SyncPath(fs::absolute(target_, error).parent_path().string());
}

}  // namespace cairn
