#include "storage/access_trace.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <utility>

#include "storage/access_format.h"
#include "storage/byte_reader.h"
#include "storage/store_directory.h"

namespace cairn {
namespace {

constexpr size_t kPartBytes = 64 << 10;  // a part is written when it has so many

}  // namespace

Result<std::unique_ptr<AccessTrace>> AccessTrace::Create(const std::string& path) {
  std::error_code unreadable;  // is an error of opening it
  if (std::filesystem::is_directory(path, unreadable)) {
    return Fail(Errc::kInvalidArgument, "{} is a directory; name a file in it for the trace", path);
  }
  std::unique_ptr<AccessTrace> trace(new AccessTrace(path));
  const std::string name = trace->unfinished();
  trace->fd_ = open(name.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (trace->fd_ < 0) return SystemError("create", name);
  CAIRN_TRY(trace->Write(TraceHeader()));
  return trace;
}

AccessTrace::~AccessTrace() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(unfinished().c_str());
}

void AccessTrace::Record(AccessKind kind, std::span<const BlockId> ids) {
  std::lock_guard lock(mutex_);
  if (!status_.has_value()) return;
  AppendAccess(body_, kind, ids, previous_);
  if (body_.size() >= kPartBytes) status_ = WritePart();
}

bool AccessTrace::empty() {
  std::lock_guard lock(mutex_);
  return parts_ == 0 && body_.empty();
}

Status AccessTrace::Finish() {
  std::lock_guard lock(mutex_);
  CAIRN_TRY(status_);
  if (!body_.empty()) CAIRN_TRY(WritePart());
  CAIRN_TRY(WritePart());
  if (rename(unfinished().c_str(), path_.c_str()) != 0) return SystemError("create", path_);
  close(std::exchange(fd_, -1));
  return Ok();
}

Status AccessTrace::WritePart() {
  const std::string head = TracePartHead(parts_++, body_.size());
  std::string checksum;
  AppendBytes(checksum, TraceChecksum(head, body_));
  CAIRN_TRY(Write(head));
  CAIRN_TRY(Write(body_));
  body_.clear();
  previous_ = BlockId{};
  return Write(checksum);
}

Status AccessTrace::Write(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = write(fd_, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return SystemError("write the trace", unfinished());
    bytes.remove_prefix(static_cast<size_t>(count));
  }
  return Ok();
}

}  // namespace cairn
