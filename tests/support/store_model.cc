#include "tests/support/store_model.h"

#include <algorithm>
#include <cstring>
#include <sstream>
#include <utility>

#include "base/hash.h"
#include "storage/catalog_format.h"

namespace cairn::test {
namespace {

constexpr uint16_t kSummaryType = 1;
constexpr size_t kSummaryBytes = 12;  // of one block
constexpr uint64_t kTokensStream = 1;
constexpr uint64_t kTailStream = 2;
constexpr uint64_t kSummaryStream = 3;

/// SplitMix64 (Steele, Lea, Flood 2014): contents are made anew at each comparison, and a Mersenne
/// twister takes longer to seed than most of them to fill.
class Stream {
 public:
  explicit Stream(uint64_t seed) : state_(seed) {}
  Stream(uint64_t seed, uint64_t stream) : state_(Hash64(&seed, sizeof seed, stream)) {}

  uint64_t operator()() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

 private:
  uint64_t state_;
};

std::string RandomText(uint64_t seed, uint64_t stream, size_t bytes) {
  Stream random(seed, stream);
  std::string text(bytes, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

std::vector<uint32_t> TokensOf(const ModelCommit& commit) {
  Stream random(commit.seed, kTokensStream);
  std::vector<uint32_t> tokens(commit.tokens);
  for (uint32_t& token : tokens) token = static_cast<uint32_t>(random());
  return tokens;
}

std::string TailOf(const ModelCommit& commit) {
  return RandomText(commit.seed, kTailStream, commit.tail_bytes);
}

SummarySection SectionOf(const ModelCommit& commit, uint16_t layer) {
  return {.type = kSummaryType,
          .version = 1,
          .extent = commit.extent,
          .layer = layer,
          .first = commit.first,
          .count = commit.blocks,
          .bytes = RandomText(commit.seed + layer, kSummaryStream, commit.blocks * kSummaryBytes)};
}

Error Differs(const std::string& name, const std::string& what) {
  return Fail(Errc::kMismatch, "session '{}' has other {} than its writer was told", name, what);
}

Status CompareBlocks(ColdStore& store, const std::string& name, const ModelCommit& commit) {
  const std::vector<BlockId> ids = ModelBlocks(commit.extent, commit.first, commit.blocks);
  std::vector<std::vector<std::byte>> payloads(ids.size());
  std::vector<std::byte*> targets;
  for (std::vector<std::byte>& payload : payloads) {
    payload.resize(kModelPayloadBytes);
    targets.push_back(payload.data());
  }
  CAIRN_TRY(store.ReadBlocks(ids, kModelPayloadBytes, targets));
  for (size_t i = 0; i < ids.size(); ++i) {
    if (payloads[i] != ModelPayload(ids[i], commit.seed)) return Differs(name, ToString(ids[i]));
  }
  return Ok();
}

}  // namespace

std::string StoreModel::ToText() const {
  std::ostringstream text;
  text << sessions.size();
  for (const auto& [name, session] : sessions) {
    text << ' ' << name << ' ' << session.id << ' ' << session.inherited << ' '
         << session.commits.size();
    for (const ModelCommit& c : session.commits) {
      text << ' ' << c.seed << ' ' << c.tokens << ' ' << c.tail_bytes << ' ' << c.extent << ' '
           << c.first << ' ' << c.blocks;
    }
  }
  return text.str();
}

StoreModel StoreModel::FromText(const std::string& line) {
  std::istringstream text(line);
  StoreModel model;
  size_t sessions = 0;
  text >> sessions;
  for (size_t i = 0; i < sessions; ++i) {
    std::string name;
    ModelSession session;
    size_t commits = 0;
    text >> name >> session.id >> session.inherited >> commits;
    session.commits.resize(commits);
    for (ModelCommit& c : session.commits) {
      text >> c.seed >> c.tokens >> c.tail_bytes >> c.extent >> c.first >> c.blocks;
    }
    model.sessions[name] = std::move(session);
  }
  return model;
}

std::vector<std::byte> ModelPayload(const BlockId& id, uint64_t seed) {
  static_assert(kModelPayloadBytes % sizeof(uint64_t) == 0);
  std::vector<std::byte> payload(kModelPayloadBytes);
  Stream random(Hash64(&id, sizeof id, seed));
  for (size_t at = 0; at < payload.size(); at += sizeof(uint64_t)) {
    const uint64_t bytes = random();
    std::memcpy(payload.data() + at, &bytes, sizeof bytes);
  }
  return payload;
}

SessionRecord ModelRecord(const std::string& name, const ModelSession& session) {
  SessionRecord record{.id = session.id, .name = name, .properties = "{\"of\": \"a test\"}"};
  for (const ModelCommit& commit : session.commits) {
    record.tokens += commit.tokens;
    record.tail_bytes = commit.tail_bytes;
    if (commit.blocks == 0) continue;
    std::vector<ExtentRange>& ranges = record.ranges;
    if (!ranges.empty() && ranges.back().extent == commit.extent &&
        ranges.back().first + ranges.back().count == commit.first) {
      ranges.back().count += commit.blocks;
    } else {
      ranges.push_back({commit.extent, commit.first, commit.blocks});
    }
  }
  record.rows = record.tokens;
  // A fork begins with one commit of all that it has.
  const int64_t own = std::ssize(session.commits) - std::max<int64_t>(session.inherited, 0);
  record.commits = static_cast<uint64_t>(session.inherited < 0 ? own : own + 1);
  return record;
}

SessionCommit ModelCommitOf(const std::string& name, const ModelSession& session) {
  const ModelCommit& commit = session.commits.back();
  SessionCommit made{
      .record = ModelRecord(name, session), .new_tokens = TokensOf(commit), .tail = TailOf(commit)};
  for (uint16_t layer = 0; commit.blocks > 0 && layer < kModelLayers; ++layer) {
    made.sections.push_back(SectionOf(commit, layer));
  }
  return made;
}

std::vector<BlockId> ModelBlocks(uint64_t extent, uint32_t first, uint32_t count) {
  std::vector<BlockId> ids;
  for (uint32_t ordinal = first; ordinal < first + count; ++ordinal) {
    for (uint16_t layer = 0; layer < kModelLayers; ++layer) {
      for (uint16_t head = 0; head < kModelHeads; ++head) {
        ids.push_back({extent, ordinal, layer, head});
      }
    }
  }
  return ids;
}

Status CompareSession(ColdStore& store, const SessionCatalog& catalog, const std::string& name,
                      ModelSession& model) {
  CAIRN_TRY(const SessionRecord found, catalog.Find(name));
  const SessionRecord expected = ModelRecord(name, model);
  SessionRecord same_id = found;
  same_id.id = model.id == 0 ? 0 : found.id;
  if (EncodeSession(same_id) != EncodeSession(expected)) return Differs(name, "entry");
  std::vector<uint32_t> tokens;
  for (const ModelCommit& commit : model.commits) {
    const std::vector<uint32_t> more = TokensOf(commit);
    tokens.insert(tokens.end(), more.begin(), more.end());
    CAIRN_TRY(CompareBlocks(store, name, commit));
  }
  CAIRN_TRY(const std::vector<uint32_t> found_tokens, catalog.ReadTokens(found));
  if (found_tokens != tokens) return Differs(name, "tokens");
  CAIRN_TRY(const std::string tail, catalog.ReadTail(found));
  if (tail != (model.commits.empty() ? "" : TailOf(model.commits.back()))) {
    return Differs(name, "tail");
  }
  for (uint16_t layer = 0; layer < kModelLayers; ++layer) {
    CAIRN_TRY(const auto sections, catalog.ReadSections(found, kSummaryType, layer));
    std::string bytes, expected_bytes;
    for (const SummarySection& section : sections) bytes += section.bytes;
    for (const ModelCommit& commit : model.commits)
      expected_bytes += SectionOf(commit, layer).bytes;
    if (bytes != expected_bytes) return Differs(name, "summaries");
  }
  model.id = found.id;
  return Ok();
}

Status CompareSessions(ColdStore& store, const SessionCatalog& catalog, StoreModel& model) {
  CAIRN_TRY(const SessionList found, catalog.List());
  for (const UnreadableSession& session : found.unreadable) {
    return Fail(Errc::kCorruption, "session '{}': {}", session.name, session.what);
  }
  for (const SessionRecord& record : found.sessions) {
    if (model.sessions.contains(record.name)) continue;
    return Fail(Errc::kMismatch, "the store has a session '{}' that its writer was not told of",
                record.name);
  }
  for (auto& [name, session] : model.sessions) {
    CAIRN_TRY(CompareSession(store, catalog, name, session));
  }
  return Ok();
}

Status CompareExtents(ColdStore& store, const StoreModel& model) {
  std::map<uint64_t, uint32_t> ends;
  for (const auto& [name, session] : model.sessions) {
    for (const ExtentRange& range : ModelRecord(name, session).ranges) {
      ends[range.extent] = std::max(ends[range.extent], range.first + range.count);
    }
  }
  CAIRN_TRY(const std::vector<uint64_t> extents, store.Extents());
  for (const uint64_t extent : extents) {
    if (ends.contains(extent)) continue;
    return Fail(Errc::kMismatch, "extent {} has blocks and no session", extent);
  }
  std::vector<std::byte> payload(kModelPayloadBytes);
  std::byte* target = payload.data();
  for (const auto& [extent, end] : ends) {
    for (const BlockId& id : ModelBlocks(extent, end, 2)) {
      const Status read = store.ReadBlocks({&id, 1}, payload.size(), {&target, 1});
      if (!read && read.error().code == Errc::kNotFound) continue;
      return Fail(Errc::kMismatch, "{} is there and was not committed", ToString(id));
    }
  }
  return Ok();
}

}  // namespace cairn::test
