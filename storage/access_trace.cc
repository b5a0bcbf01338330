#include "storage/access_trace.h"

#include <utility>

#include "storage/access_format.h"
#include "storage/byte_reader.h"

namespace cairn {
namespace {

constexpr size_t kPartBytes = 64 << 10;  // a part is written when it has so many

}  // namespace

Result<std::unique_ptr<AccessTrace>> AccessTrace::Create(const std::string& path) {
  CAIRN_TRY(NewFile file, NewFile::Create(path, 0600));
  CAIRN_TRY(file.Write(TraceHeader()));
  return std::unique_ptr<AccessTrace>(new AccessTrace(std::move(file)));
}

void AccessTrace::Record(AccessKind kind, std::span<const BlockId> ids) {
  std::lock_guard lock(mutex_);
  if (!status_.has_value()) return;
  AppendAccess(body_, kind, ids, previous_);
  if (body_.size() >= kPartBytes) status_ = WritePart();
}

void AccessTrace::AddSource(const TraceSource& source) {
  std::lock_guard lock(mutex_);
  if (!source_.has_value()) source_ = source;
  if (source_->store != source.store) source_ = TraceSource{};
  if (source_->session != source.session) source_->session = 0;
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
  CAIRN_TRY(file_.Write(TraceEnd(source_.value_or(TraceSource{}))));
  return file_.Finish();
}

Status AccessTrace::WritePart() {
  const std::string head = TracePartHead(parts_++, body_.size());
  std::string checksum;
  AppendBytes(checksum, TraceChecksum(head, body_));
  CAIRN_TRY(file_.Write(head));
  CAIRN_TRY(file_.Write(body_));
  body_.clear();
  previous_ = BlockId{};
  return file_.Write(checksum);
}

}  // namespace cairn
