#include "storage/session_import.h"

#include <cstring>
#include <utility>

#include "storage/byte_reader.h"
#include "storage/session_file.h"

namespace cairn {
namespace {

constexpr uint64_t kMostOrdinalBytes = uint64_t{1} << 36;

/// Puts the parts of a file together. Each method takes one part and says what is wrong with it,
/// null if nothing is.
class PartCollector {
 public:
  const char* Take(SessionFilePart part);
  /// The payloads of the part that was taken last, from block `first` on; empty if it had none.
  std::span<const std::byte> payloads() const { return payloads_; }
  uint32_t first() const { return first_; }
  const ExportedSession& session() const { return session_; }
  ExportedSession&& Finish() && { return std::move(session_); }

 private:
  const char* TakeSession(std::string_view body);
  const char* TakeSection(std::string_view body);
  const char* TakeBlocks(std::string_view body);
  const char* CheckAll() const;

  ExportedSession session_;
  PartKind last_{};
  uint64_t blocks_ = 0;  // whose payloads have come
  std::string body_;
  std::span<const std::byte> payloads_;
  uint32_t first_ = 0;
};

const char* PartCollector::Take(SessionFilePart part) {
  const bool several = part.kind == PartKind::kSection || part.kind == PartKind::kBlocks;
  const bool first = last_ == PartKind{};
  const bool in_order = first ? part.kind == PartKind::kSession
                              : part.kind > last_ || (several && part.kind == last_);
  if (!in_order) return "parts of its kind do not stand here";
  last_ = part.kind;
  body_ = std::move(part.body);
  payloads_ = {};
  switch (part.kind) {
    case PartKind::kSession:
      return TakeSession(body_);
    case PartKind::kTokens:
      if (body_.size() != session_.record.tokens * sizeof(uint32_t)) {
        return "it has not as many tokens as the session";
      }
      session_.tokens.resize(session_.record.tokens);
      if (!body_.empty()) std::memcpy(session_.tokens.data(), body_.data(), body_.size());
      return nullptr;
    case PartKind::kTail:
      session_.tail = std::move(body_);
      return nullptr;
    case PartKind::kSection:
      return TakeSection(body_);
    case PartKind::kBlocks:
      return TakeBlocks(body_);
    case PartKind::kEnd:
      return CheckAll();
  }
  return "it is of an unknown kind";
}

const char* PartCollector::TakeSession(std::string_view body) {
  ByteReader values(body);
  SessionRecord& record = session_.record;
  record.tokens = values.Take<uint64_t>();
  record.rows = values.Take<uint64_t>();
  record.tail_bytes = values.Take<uint64_t>();
  record.commits = values.Take<uint64_t>();
  session_.blocks = values.Take<uint64_t>();
  session_.grid.payload_bytes = values.Take<uint64_t>();
  session_.grid.layers = values.Take<uint16_t>();
  session_.grid.heads = values.Take<uint16_t>();
  const auto name_bytes = values.Take<uint32_t>();
  record.name = values.TakeBytes(name_bytes);
  record.properties = values.TakeBytes(values.left());
  const BlockGrid& grid = session_.grid;
  if (!values.Done() || !SessionCatalog::ValidateName(record.name).has_value() ||
      session_.blocks > UINT32_MAX || grid.blocks() == 0 || grid.payload_bytes == 0 ||
      grid.payload_bytes > kMostOrdinalBytes / grid.blocks() ||
      record.tokens > SIZE_MAX / sizeof(uint32_t)) {
    return "it does not describe a session";
  }
  return nullptr;
}

const char* PartCollector::TakeSection(std::string_view body) {
  ByteReader values(body);
  SummarySection section;
  section.type = values.Take<uint16_t>();
  section.version = values.Take<uint16_t>();
  section.layer = values.Take<uint16_t>();
  values.Take<uint16_t>();
  section.first = values.Take<uint32_t>();
  section.count = values.Take<uint32_t>();
  section.bytes = values.TakeBytes(values.left());
  if (!values.Done() || section.count == 0 || section.bytes.size() % section.count != 0 ||
      section.layer >= session_.grid.layers ||
      uint64_t{section.first} + section.count > session_.blocks) {
    return "it does not summarise blocks of the session";
  }
  session_.sections.push_back(std::move(section));
  return nullptr;
}

const char* PartCollector::TakeBlocks(std::string_view body) {
  ByteReader values(body);
  first_ = values.Take<uint32_t>();
  const auto count = values.Take<uint32_t>();
  const std::string_view bytes = values.TakeBytes(values.left());
  const uint64_t block_bytes = session_.grid.bytes();
  if (!values.Done() || count == 0 || bytes.size() % block_bytes != 0 ||
      bytes.size() / block_bytes != count || first_ != blocks_ ||
      blocks_ + count > session_.blocks) {
    return "it has not the blocks that come next";
  }
  blocks_ += count;
  payloads_ = std::as_bytes(std::span(bytes));
  return nullptr;
}

const char* PartCollector::CheckAll() const {
  if (session_.tokens.size() != session_.record.tokens) return "the tokens are missing before it";
  if (session_.tail.size() != session_.record.tail_bytes) {
    return "the unfinished block before it has another size";
  }
  return blocks_ == session_.blocks ? nullptr : "blocks are missing before it";
}

Status WriteBlocks(ColdStore& cold, uint64_t extent, const BlockGrid& grid, uint32_t first,
                   std::span<const std::byte> payloads) {
  const size_t count = payloads.size() / grid.payload_bytes;
  std::vector<BlockRecord> records;
  records.reserve(count);
  for (size_t i = 0; i < count; ++i) {
    const BlockId id{extent, first + static_cast<uint32_t>(i / grid.blocks()),
                     static_cast<uint16_t>(i % grid.blocks() / grid.heads),
                     static_cast<uint16_t>(i % grid.heads)};
    records.push_back({id, payloads.subspan(i * grid.payload_bytes, grid.payload_bytes)});
  }
  return cold.WriteBlocks(records);
}

}  // namespace

Result<ExportedSession> ReadSessionFile(const std::string& path, PayloadSink sink,
                                        TransferWatch watch) {
  CAIRN_TRY(SessionFileReader file, SessionFileReader::Open(path));
  PartCollector parts;
  while (true) {
    CAIRN_TRY(watch(file.done_bytes(), file.bytes()));
    CAIRN_TRY(SessionFilePart part, file.Next());
    const bool end = part.kind == PartKind::kEnd;
    const char* fault = parts.Take(std::move(part));
    if (fault != nullptr) return file.Damaged(fault);
    if (end) return std::move(parts).Finish();
    if (!parts.payloads().empty()) {
      CAIRN_TRY(sink(parts.session(), parts.first(), parts.payloads()));
    }
  }
}

Result<SessionRecord> ImportSession(ColdStore& cold, SessionCatalog& catalog,
                                    const std::string& path, std::string_view name,
                                    TransferWatch watch) {
  CAIRN_TRY(catalog.CheckFree(name));
  CAIRN_TRY(const uint64_t extent, catalog.NewExtent());
  auto read = ReadSessionFile(
      path,
      [&](const ExportedSession& session, uint32_t first, std::span<const std::byte> payloads) {
        return WriteBlocks(cold, extent, session.grid, first, payloads);
      },
      watch);
  if (!read) {
    // If this fails too, the next writer finds blocks that no session covers.
    (void)cold.DropExtent(extent, 0).has_value();
    return std::move(read).as_failure();
  }
  ExportedSession& session = read.value();
  SessionCommit commit;
  commit.record = std::move(session.record);
  commit.record.name = name;
  if (session.blocks > 0) {
    commit.record.ranges = {{extent, 0, static_cast<uint32_t>(session.blocks)}};
  }
  commit.new_tokens = std::move(session.tokens);
  commit.tail = std::move(session.tail);
  commit.sections = std::move(session.sections);
  for (SummarySection& section : commit.sections) section.extent = extent;
  // A commit that fails may still be found; its blocks stay until a writer knows.
  return catalog.Add(std::move(commit));
}

}  // namespace cairn
