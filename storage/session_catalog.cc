#include "storage/session_catalog.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "storage/catalog_format.h"
#include "storage/catalog_leftovers.h"
#include "storage/extent_use.h"

namespace cairn {
namespace {

constexpr size_t kMaxNameBytes = 128;

void Put(MetaBatch& batch, std::string key, std::string body) {
  std::string value = SealValue(key, std::move(body));
  batch.puts.emplace_back(std::move(key), std::move(value));
}

/// The body of an entry, empty optional if there is none.
Result<std::optional<std::string>> ReadBody(ColdStore& cold, std::string_view key) {
  CAIRN_TRY(std::optional<std::string> value, cold.ReadMeta(key));
  if (!value) return std::optional<std::string>();
  CAIRN_TRY(std::string body, OpenValue(key, std::move(*value)));
  return std::optional<std::string>(std::move(body));
}

/// The first `blocks` blocks of `ranges`, which have as many.
std::vector<ExtentRange> FirstBlocks(const std::vector<ExtentRange>& ranges, uint64_t blocks) {
  std::vector<ExtentRange> first;
  for (ExtentRange range : ranges) {
    if (blocks == 0) break;
    range.count = static_cast<uint32_t>(std::min<uint64_t>(range.count, blocks));
    blocks -= range.count;
    first.push_back(range);
  }
  CAIRN_CHECK(blocks == 0);
  return first;
}

/// All that a commit writes; its tokens are the session's from `first_token` on.
Result<MetaBatch> BatchOf(const SessionCommit& commit, uint64_t first_token) {
  const SessionRecord& record = commit.record;
  MetaBatch batch;
  Put(batch, SessionKey(record.name), EncodeSession(record));
  if (!commit.new_tokens.empty()) {
    Put(batch, TokensKey(record.id, first_token), EncodeTokens(commit.new_tokens));
  }
  if (commit.tail.empty()) {
    batch.deletes.push_back(TailKey(record.id));
  } else {
    Put(batch, TailKey(record.id), commit.tail);
  }
  for (const SummarySection& section : commit.sections) CAIRN_TRY(AddSection(section, batch));
  return batch;
}

bool Names(const std::vector<UnreadableSession>& sessions, std::string_view name) {
  return std::ranges::any_of(sessions, [&](const auto& session) { return session.name == name; });
}

}  // namespace

SessionRecord CutAt(const SessionRecord& source, const ForkPoint& point) {
  CAIRN_CHECK(point.tokens <= source.tokens && point.rows <= source.rows);
  SessionRecord record = source;
  record.ranges = FirstBlocks(source.ranges, point.blocks);
  record.tokens = point.tokens;
  record.rows = point.rows;
  record.properties = point.properties;
  record.tail_bytes = 0;
  return record;
}

Status SessionCatalog::ValidateName(std::string_view name) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
  };
  const bool good = !name.empty() && name.size() <= kMaxNameBytes && name[0] != '.' &&
                    name[0] != '-' && std::ranges::all_of(name, allowed);
  if (good) return Ok();
  return Fail(Errc::kInvalidArgument,
              "{} cannot name a session; use 1 to {} letters, digits, '.', '_' and '-', starting "
              "with a letter, a digit or '_'",
              DescribeKey(name.substr(0, kMaxNameBytes)), kMaxNameBytes);
}

Result<SessionCatalog> SessionCatalog::Open(ColdStore& cold, bool read_only) {
  CAIRN_TRY(const std::optional<std::string> format, ReadBody(cold, kFormatKey));
  if (!format) {
    CAIRN_TRY(const MetaEntries entries, cold.ScanMeta(""));
    CAIRN_TRY(const std::vector<uint64_t> extents, cold.Extents());
    if (!entries.empty() || !extents.empty()) {
      return Fail(
          Errc::kCorruption,
          "the store holds data and has no entry 'format'; it is damaged: restore a backup");
    }
    if (!read_only) {
      MetaBatch batch;
      Put(batch, std::string(kFormatKey), EncodeFormat(kStoreFormatVersion));
      Put(batch, std::string(kNextKey), EncodeNext(NextIds()));
      CAIRN_TRY(cold.WriteMeta(batch));
    }
    return SessionCatalog(cold, NextIds().extent, NextIds().session);
  }
  CAIRN_TRY(const uint32_t version, DecodeFormat(*format));
  CAIRN_TRY(CheckFormatVersion(version, "at hand"));
  CAIRN_TRY(const std::optional<std::string> next_body, ReadBody(cold, kNextKey));
  if (!next_body) return Fail(Errc::kCorruption, "the store has no entry 'next'; it is damaged");
  CAIRN_TRY(const NextIds next, DecodeNext(*next_body));
  SessionCatalog catalog(cold, next.extent, next.session);
  if (read_only) return catalog;
  CAIRN_TRY(const SessionList all, catalog.List());
  // The blocks of one that is unreadable would seem to be nobody's.
  if (all.unreadable.empty()) CAIRN_TRY(DropOrphans(cold, all.sessions));
  return catalog;
}

Result<SessionList> SessionCatalog::List() const {
  CAIRN_TRY(MetaEntries entries, cold_->ScanMeta(kSessionPrefix));
  SessionList all;
  all.sessions.reserve(entries.size());
  for (auto& [key, value] : entries) {
    const Result<std::string> body = OpenValue(key, std::move(value));
    Result<SessionRecord> record =
        body ? DecodeSession(key, body.value()) : Result<SessionRecord>(body.as_failure());
    if (record) {
      all.sessions.push_back(std::move(record).value());
    } else {
      all.unreadable.push_back({std::string(NameInKey(key)), record.error().message});
    }
  }
  return all;
}

Result<std::string> SessionCatalog::NamesForMessage() const {
  constexpr size_t kMostNames = 20;
  CAIRN_TRY(const MetaEntries entries, cold_->ScanMeta(kSessionPrefix));
  if (entries.empty()) return std::string("the store has none");
  std::string text = "there are: ";
  for (size_t i = 0; i < std::min(entries.size(), kMostNames); ++i) {
    if (i > 0) text += ", ";
    text += NameInKey(entries[i].first);
  }
  if (entries.size() > kMostNames) text += fmt::format(" and {} more", entries.size() - kMostNames);
  return text;
}

Result<SessionRecord> SessionCatalog::Find(std::string_view name) const {
  CAIRN_TRY(ValidateName(name));
  const std::string key = SessionKey(name);
  CAIRN_TRY(const std::optional<std::string> body, ReadBody(*cold_, key));
  if (body) return DecodeSession(key, *body);
  CAIRN_TRY(const std::string names, NamesForMessage());
  return Fail(Errc::kNotFound, "there is no session '{}'; {}", name, names);
}

Status SessionCatalog::CheckFree(std::string_view name) const {
  CAIRN_TRY(ValidateName(name));
  CAIRN_TRY(const std::optional<std::string> taken, cold_->ReadMeta(SessionKey(name)));
  if (!taken) return Ok();
  return Fail(Errc::kExists,
              "there is a session '{}' already; open it, delete it or choose another name", name);
}

Result<SessionRecord> SessionCatalog::Create(std::string_view name, std::string properties) {
  SessionCommit commit;
  commit.record.name = name;
  commit.record.properties = std::move(properties);
  return Add(std::move(commit));
}

Result<SessionRecord> SessionCatalog::Add(SessionCommit commit) {
  CAIRN_TRY(CheckFree(commit.record.name));
  // Never given again, also if this fails: the session may be found all the same.
  commit.record.id = next_session_++;
  CAIRN_TRY(MetaBatch batch, BatchOf(commit, 0));
  Put(batch, std::string(kNextKey), EncodeNext({next_extent_, next_session_}));
  CAIRN_TRY(cold_->WriteMeta(batch));
  return std::move(commit.record);
}

Result<SessionRecord> SessionCatalog::Fork(const SessionRecord& source, std::string_view name,
                                           const std::optional<ForkPoint>& point) {
  CAIRN_TRY(CheckFree(name));
  SessionCommit fork;
  fork.record = point ? CutAt(source, *point) : source;
  fork.record.name = name;
  fork.record.commits = 1;
  CAIRN_TRY(fork.new_tokens, ReadTokens(fork.record));
  CAIRN_TRY(fork.tail, ReadTail(fork.record));
  return Add(std::move(fork));
}

Result<uint64_t> SessionCatalog::NewExtent() {
  MetaBatch batch;
  Put(batch, std::string(kNextKey), EncodeNext({next_extent_ + 1, next_session_}));
  CAIRN_TRY(cold_->WriteMeta(batch));
  return next_extent_++;
}

Status SessionCatalog::Commit(const SessionCommit& commit) {
  const SessionRecord& record = commit.record;
  CAIRN_TRY(const SessionRecord before, Find(record.name));
  if (before.id != record.id) {
    return Fail(Errc::kMismatch, "session '{}' was deleted and made anew; open it again",
                record.name);
  }
  const uint64_t tokens_before = commit.replaces ? 0 : before.tokens;
  const bool stale = commit.replaces && record.commits != before.commits + 1;
  if (stale || record.tokens != tokens_before + commit.new_tokens.size() ||
      record.tail_bytes != commit.tail.size()) {
    return Fail(Errc::kMismatch,
                "the commit of session '{}' does not continue its last one ({} tokens, then {} "
                "new, now {}; tail of {} bytes, now {}); open it again",
                record.name, tokens_before, commit.new_tokens.size(), record.tokens,
                commit.tail.size(), record.tail_bytes);
  }
  CAIRN_TRY(MetaBatch batch, BatchOf(commit, tokens_before));
  if (commit.replaces) CAIRN_TRY(AddReplaced(before, record, batch));
  return cold_->WriteMeta(batch);
}

Status SessionCatalog::AddReplaced(const SessionRecord& before, const SessionRecord& after,
                                   MetaBatch& batch) const {
  batch.delete_prefixes.push_back(TokensPrefix(before.id));
  CAIRN_TRY(SessionList all, List());
  if (!all.unreadable.empty()) return Ok();  // whose extents these may be
  std::erase_if(all.sessions, [&](const auto& session) { return session.id == before.id; });
  all.sessions.push_back(after);
  const ExtentUse use(all.sessions);
  for (const ExtentRange& range : before.ranges) {
    if (!use.Names(range.extent)) batch.delete_prefixes.push_back(SectionsPrefix(range.extent));
  }
  return Ok();
}

Status SessionCatalog::Cut(const SessionRecord& record, const ForkPoint& point) {
  SessionCommit commit;
  commit.record = CutAt(record, point);
  commit.replaces = true;
  CAIRN_TRY(commit.new_tokens, ReadTokens(commit.record));
  ++commit.record.commits;
  return Commit(commit);
}

Status SessionCatalog::Rename(std::string_view name, std::string_view new_name) {
  CAIRN_TRY(SessionRecord record, Find(name));
  CAIRN_TRY(CheckFree(new_name));
  record.name = new_name;
  MetaBatch batch;
  batch.deletes = {SessionKey(name)};
  Put(batch, SessionKey(new_name), EncodeSession(record));
  return cold_->WriteMeta(batch);
}

Result<uint64_t> SessionCatalog::Delete(std::string_view name) {
  CAIRN_TRY(SessionList all, List());
  if (Names(all.unreadable, name)) {
    CAIRN_TRY(DeleteUnreadable(name, all));
    return uint64_t{0};
  }
  CAIRN_TRY(const SessionRecord record, Find(name));
  std::erase_if(all.sessions, [&](const auto& session) { return session.id == record.id; });
  const ExtentUse use(all.sessions);
  const bool frees = all.unreadable.empty();
  MetaBatch batch;
  batch.deletes = {SessionKey(record.name), TailKey(record.id)};
  batch.delete_prefixes = {TokensPrefix(record.id)};
  for (const ExtentRange& range : record.ranges) {
    const bool shared = use.Names(range.extent) || !frees;
    if (!shared) batch.delete_prefixes.push_back(SectionsPrefix(range.extent));
  }
  // From here the session is gone; should we stop before its blocks are, the next writer finds
  // blocks that no session covers and drops them.
  CAIRN_TRY(cold_->WriteMeta(batch));
  if (!frees) return uint64_t{0};
  const ExtentUse own({record});
  for (const auto& [extent, own_end] : own.ends()) {
    // What lies behind both may be blocks that an open session has not committed yet.
    if (use.Names(extent) && use.End(extent) >= own_end) continue;
    const Status dropped = DropFrom(*cold_, extent, use.End(extent));
    if (dropped) continue;
    return Fail(dropped.error().code,
                "session '{}' is deleted, but its space is freed only when the store is next "
                "opened: {}",
                name, dropped.error().message);
  }
  return use.BlocksBehind(record.ranges);
}

Status SessionCatalog::DeleteUnreadable(std::string_view name, const SessionList& all) {
  MetaBatch batch;
  batch.deletes = {SessionKey(name)};
  if (all.unreadable.size() == 1) {
    CAIRN_TRY(AddForgotten(*cold_, all.sessions, {next_extent_, next_session_}, batch));
  }
  return cold_->WriteMeta(batch);
}

Result<uint64_t> SessionCatalog::RemoveLeftovers() {
  CAIRN_TRY(const SessionList all, List());
  if (!all.unreadable.empty()) return uint64_t{0};
  MetaBatch batch;
  CAIRN_TRY(AddForgotten(*cold_, all.sessions, {next_extent_, next_session_}, batch));
  CAIRN_TRY(AddSectionsBehind(*cold_, all.sessions, batch));
  const uint64_t found = batch.deletes.size() + batch.delete_prefixes.size();
  if (found > 0) CAIRN_TRY(cold_->WriteMeta(batch));
  return found;
}

Result<std::vector<std::vector<uint32_t>>> SessionCatalog::ReadTokenEntries(
    const SessionRecord& record) const {
  CAIRN_TRY(MetaEntries entries, cold_->ScanMeta(TokensPrefix(record.id)));
  std::vector<std::vector<uint32_t>> parts;
  uint64_t found = 0;
  for (auto& [key, value] : entries) {
    if (found >= record.tokens) break;  // damage behind them is not theirs
    CAIRN_TRY(const uint64_t first, FirstTokenInKey(key));
    if (first != found) break;
    CAIRN_TRY(const std::string body, OpenValue(key, std::move(value)));
    CAIRN_TRY(parts.emplace_back(), DecodeTokens(key, body));
    const uint64_t left = record.tokens - found;
    if (parts.back().size() > left) parts.back().resize(left);
    found += parts.back().size();
  }
  if (found == record.tokens) return parts;
  return Fail(Errc::kCorruption,
              "session '{}' has {} tokens and the store holds the first {}; it is damaged",
              record.name, record.tokens, found);
}

Result<std::vector<uint32_t>> SessionCatalog::ReadTokens(const SessionRecord& record) const {
  CAIRN_TRY(const auto parts, ReadTokenEntries(record));
  std::vector<uint32_t> tokens;
  tokens.reserve(record.tokens);
  for (const auto& part : parts) tokens.insert(tokens.end(), part.begin(), part.end());
  return tokens;
}

Result<std::vector<uint64_t>> SessionCatalog::ReadTokenCounts(const SessionRecord& record) const {
  CAIRN_TRY(const auto parts, ReadTokenEntries(record));
  std::vector<uint64_t> counts;
  for (const auto& part : parts) counts.push_back(part.size());
  return counts;
}

Result<std::string> SessionCatalog::ReadTail(const SessionRecord& record) const {
  if (record.tail_bytes == 0) return std::string();
  CAIRN_TRY(std::optional<std::string> body, ReadBody(*cold_, TailKey(record.id)));
  std::string tail = std::move(body).value_or("");
  if (tail.size() != record.tail_bytes) {
    return Fail(Errc::kCorruption,
                "session '{}' has a tail of {} bytes and the store holds {}; it is damaged",
                record.name, record.tail_bytes, tail.size());
  }
  return tail;
}

}  // namespace cairn
