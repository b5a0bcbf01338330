#include "storage/rocks_segments.h"

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <utility>

#include "storage/block_run.h"
#include "storage/rocks_options.h"
#include "storage/store_directory.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSuffix = ".seg";
constexpr size_t kStatBlockBytes = 512;

/// A quarter of what the process may open is for these.
size_t MaxOpen() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 128;
  return std::min<rlim_t>(limit.rlim_cur / 4, 65536);
}

/// The number in a name as "00000001.seg"; 0 if it is none.
uint64_t NumberIn(std::string_view name) {
  if (!name.ends_with(kSuffix)) return 0;
  name.remove_suffix(kSuffix.size());
  uint64_t number = 0;
  const char* const end = name.data() + name.size();
  return std::from_chars(name.data(), end, number).ptr == end ? number : 0;
}

SegmentInfo InfoOf(uint64_t number, const struct stat& info) {
  const auto bytes = static_cast<uint64_t>(info.st_size);
  const auto allocated = static_cast<uint64_t>(info.st_blocks) * kStatBlockBytes;
  return {number, bytes, std::min(bytes, allocated)};
}

}  // namespace

RocksSegments::File::~File() {
  if (fd >= 0) close(fd);
}

RocksSegments::RocksSegments(std::string directory, rocksdb::Env* env, bool read_through,
                             bool direct_io)
    : directory_(std::move(directory)),
      env_(env),
      read_through_(read_through),
      direct_io_(direct_io),
      max_open_(MaxOpen()) {}

RocksSegments::~RocksSegments() = default;

std::string RocksSegments::PathOf(uint64_t number) const {
  return fmt::format("{}/{:08}{}", directory_, number, kSuffix);
}

Status RocksSegments::Make() const {
  if (mkdir(directory_.c_str(), 0700) == 0) {
    return SyncPath(fs::path(directory_).parent_path().string());
  }
  return errno == EEXIST ? Ok() : Status(SystemError("create directory", directory_));
}

Result<SegmentInfo> RocksSegments::Look(uint64_t number) const {
  struct stat info {};
  if (stat(PathOf(number).c_str(), &info) != 0) return SystemError("look at", PathOf(number));
  return InfoOf(number, info);
}

Result<std::vector<SegmentInfo>> RocksSegments::List() const {
  std::vector<SegmentInfo> segments;
  std::error_code error;
  fs::directory_iterator entries(directory_, error);
  if (error == std::errc::no_such_file_or_directory) return segments;
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    const uint64_t number = NumberIn(name);
    struct stat info {};
    if (number == 0 || stat(entries->path().c_str(), &info) != 0) continue;
    segments.push_back(InfoOf(number, info));
  }
  if (error) return Fail(Errc::kIo, "cannot list {}: {}", directory_, error.message());
  std::ranges::sort(segments, {}, &SegmentInfo::number);
  return segments;
}

Result<std::unique_ptr<RocksSegments::File>> RocksSegments::OpenFile(uint64_t number) const {
  const std::string path = PathOf(number);
  auto file = std::make_unique<File>();
  file->number = number;
  if (read_through_) {
    rocksdb::EnvOptions options;
    options.use_mmap_reads = false;
    CAIRN_TRY(
        FromRocks(env_->NewRandomAccessFile(path, &file->through, options), "cannot open " + path));
    return file;
  }
  file->fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | (direct_io_ ? O_DIRECT : 0));
  if (file->fd >= 0) return file;
  if (errno == ENOENT) return Fail(Errc::kCorruption, "the file {} is lost", path);
  return SystemError("open", path);
}

void RocksSegments::CloseIdle() {
  std::erase_if(open_, [](const auto& entry) { return entry.second->users == 0; });
}

Result<RocksSegments::File*> RocksSegments::Open(uint64_t number) {
  const std::lock_guard lock(mutex_);
  auto found = open_.find(number);
  if (found == open_.end()) {
    if (open_.size() >= max_open_) CloseIdle();
    CAIRN_TRY(auto file, OpenFile(number));
    found = open_.emplace(number, std::move(file)).first;
  }
  ++found->second->users;
  return found->second.get();
}

void RocksSegments::Release(File* file) {
  const std::lock_guard lock(mutex_);
  if (--file->users > 0 || !file->gone) return;
  std::erase_if(gone_, [file](const auto& held) { return held.get() == file; });
}

Status RocksSegments::Read(File& file, uint64_t offset, std::span<std::byte> pages) const {
  const std::string path = PathOf(file.number);
  size_t done = 0;
  while (done < pages.size()) {
    int64_t count = 0;
    if (file.through != nullptr) {
      rocksdb::Slice read;
      char* const scratch = reinterpret_cast<char*>(pages.data()) + done;
      CAIRN_TRY(FromRocks(file.through->Read(offset + done, pages.size() - done, &read, scratch),
                          "cannot read " + path));
      if (!read.empty() && read.data() != scratch) std::copy_n(read.data(), read.size(), scratch);
      count = static_cast<int64_t>(read.size());
    } else {
      count = pread(file.fd, pages.data() + done, pages.size() - done,
                    static_cast<off_t>(offset + done));
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return SystemError("read", path);
    }
    done += static_cast<size_t>(count);
    // What ends within a page is the end of the file; direct I/O could not go on from there.
    if (count == 0 || (done < pages.size() && done % kSegmentPageBytes != 0)) {
      return Fail(Errc::kCorruption, "the file {} is cut short", path);
    }
  }
  return Ok();
}

rocksdb::Status RocksSegments::CutFile(const std::string& path, uint64_t bytes) const {
  rocksdb::EnvOptions options;
  options.use_mmap_writes = false;
  std::unique_ptr<rocksdb::WritableFile> file;
  const rocksdb::Status opened = env_->ReopenWritableFile(path, &file, options);
  if (!opened.ok()) return opened;
  const rocksdb::Status cut = file->Truncate(bytes);
  return cut.ok() ? file->Close() : cut;
}

Status RocksSegments::Free(uint64_t number, std::span<const ByteRange> in_use) {
  const std::string path = PathOf(number);
  const std::string action = "cannot give back the space of " + path;
  const Result<SegmentInfo> info = Look(number);
  if (!info) return Ok();  // it is gone
  if (in_use.empty()) {
    {
      const std::lock_guard lock(mutex_);
      const auto found = open_.find(number);
      if (found != open_.end()) {
        found->second->gone = true;
        if (found->second->users > 0) gone_.push_back(std::move(found->second));
        open_.erase(found);
      }
    }
    return FromRocks(env_->DeleteFile(path), action);
  }
  uint64_t end = 0, used_bytes = 0;
  for (const ByteRange& range : in_use) {
    end = std::max(end, range.end);
    used_bytes += range.end - range.begin;
  }
  if (info.value().bytes > end) CAIRN_TRY(FromRocks(CutFile(path, end), action));
  if (info.value().allocated_bytes <= used_bytes) return Ok();
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return SystemError("open", path);
  uint64_t before = 0;
  for (const ByteRange& range : in_use) {
    if (range.begin > before) {
      (void)!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(before),
                       static_cast<off_t>(range.begin - before));
    }
    before = std::max(before, range.end);
  }
  close(fd);
  return Ok();
}

}  // namespace cairn
