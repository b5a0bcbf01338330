#include "tools/stored_session.h"

#include <algorithm>
#include <charconv>
#include <map>

#include "engine/stored_shape.h"
#include "storage/extent_use.h"

namespace cairn {
namespace {

std::vector<SessionRecord> Others(const SessionRecord& record,
                                  const std::vector<SessionRecord>& all) {
  std::vector<SessionRecord> others;
  std::ranges::copy_if(all, std::back_inserter(others),
                       [&](const SessionRecord& other) { return other.id != record.id; });
  return others;
}

/// A number at the front of `text`, which is taken off; none if there is no digit.
std::optional<int64_t> TakeNumber(std::string_view* text) {
  int64_t number = 0;
  const auto [rest, error] = std::from_chars(text->data(), text->data() + text->size(), number);
  if (error != std::errc()) return std::nullopt;
  text->remove_prefix(static_cast<size_t>(rest - text->data()));
  return number;
}

}  // namespace

Result<StoredSession> StoredSession::FromRecord(SessionRecord record) {
  StoredSession session;
  CAIRN_TRY(const StoredShape stored, ParseStoredShape(record.properties));
  CAIRN_TRY(session.profile, SessionProfile::FromJson(stored.properties));
  CAIRN_TRY(session.shape, ParseShape(stored.shape));
  session.blocks = BlockMap(record.ranges);
  session.record = std::move(record);
  return session;
}

Result<StoredSession> StoredSession::Find(const SessionCatalog& catalog, const std::string& name) {
  CAIRN_TRY(SessionCatalog::ValidateName(name));
  CAIRN_TRY(SessionRecord record, catalog.Find(name));
  return FromRecord(std::move(record));
}

uint64_t StoredSession::ordinal_bytes() const { return GridOf(shape).bytes(); }

Result<uint64_t> SketchBytes(const SessionCatalog& catalog, const StoredSession& session) {
  if (session.shape.mode != AttentionMode::kUnmodified) return 0;
  const uint16_t type = KeyBoundType(session.shape.mode);
  CAIRN_TRY(const auto sections, catalog.ReadSections(session.record, type, 0));
  uint64_t bytes = 0;
  for (const SummarySection& section : sections) bytes += section.bytes.size();
  return bytes * static_cast<uint64_t>(session.shape.layers);
}

Result<StoredText> StoredText::Open(const Flags& flags, const StoredSession& session) {
  CAIRN_TRY(session.profile.CheckOwnModel(session.record.name));
  const std::string& path = flags.model.empty() ? session.profile.model_path : flags.model;
  auto model = LoadedModel::Open(path, {});
  if (!model.has_value()) {
    return Fail(model.error().code, "the text of session '{}' cannot be shown: {}{}",
                session.record.name, model.error().message,
                flags.model.empty() ? "; give its new place as --model" : "");
  }
  const std::string fingerprint = model.value()->file().Fingerprint();
  if (fingerprint != session.profile.model_fingerprint) {
    return Fail(Errc::kMismatch,
                "session '{}' was made with another model (fingerprint {}), not {} ({})",
                session.record.name, session.profile.model_fingerprint, path, fingerprint);
  }
  return StoredText(std::move(model).value());
}

Result<SessionText> StoredText::Of(const SessionCatalog& catalog,
                                   const StoredSession& session) const {
  CAIRN_TRY(auto tokens, catalog.ReadTokens(session.record));
  return SessionText(model_->tokenizer(), std::move(tokens), session.shape.block_tokens());
}

Result<NumberRange> ParseRange(const char* flag, std::string_view text, int64_t size) {
  std::string_view rest = text;
  NumberRange range{0, size};
  if (const auto first = TakeNumber(&rest)) range.first = *first;
  const bool parted = !rest.empty() && rest.front() == ':';
  if (parted) rest.remove_prefix(1);
  if (const auto end = TakeNumber(&rest)) range.end = *end;
  if (!parted || !rest.empty()) {
    return Fail(Errc::kInvalidArgument, "{} '{}' is no range; write A:B, A: or :B", flag, text);
  }
  if (range.first < 0 || range.first > range.end || range.end > size) {
    return Fail(Errc::kInvalidArgument, "{} {}: use 0 to {}, in ascending order", flag, text, size);
  }
  return range;
}

uint64_t OwnBlocks(const SessionRecord& record, const std::vector<SessionRecord>& others) {
  uint64_t own = 0;
  std::map<uint64_t, std::vector<bool>> taken;  // by extent: ordinals that others have
  for (const SessionRecord& other : Others(record, others)) {
    for (const ExtentRange& range : other.ranges) {
      auto& ordinals = taken[range.extent];
      if (ordinals.size() < size_t{range.first} + range.count) {
        ordinals.resize(size_t{range.first} + range.count);
      }
      std::fill_n(ordinals.begin() + range.first, range.count, true);
    }
  }
  for (const ExtentRange& range : record.ranges) {
    const auto& ordinals = taken[range.extent];
    for (size_t i = range.first; i < size_t{range.first} + range.count; ++i) {
      own += i >= ordinals.size() || !ordinals[i] ? 1 : 0;
    }
  }
  return own;
}

uint64_t FreedBlocks(const SessionRecord& record, const std::vector<SessionRecord>& others) {
  return ExtentUse(Others(record, others)).BlocksBehind(record.ranges);
}

}  // namespace cairn
