#include "tools/session_report.h"

#include "engine/session.h"
#include "engine/summary.h"
#include "tools/session_tree.h"

namespace cairn {
namespace {

/// A session of the list; nothing if its profile cannot be read.
Result<nlohmann::json> Summary(const SessionRecord& record, const SessionTreeEntry& entry) {
  CAIRN_TRY(const auto session, StoredSession::FromRecord(record));
  const auto& ingests = session.profile.ingests;
  const uint64_t shared = entry.shared_blocks;
  return nlohmann::json{
      {"name", record.name},
      {"tokens", record.tokens},
      {"mode", AttentionModeName(session.profile.mode)},
      {"unfinished", !ingests.empty() && !ingests.back().done},
      {"payload_bytes", session.payload_bytes()},
      {"shares_with",
       entry.shares_with.empty() ? nlohmann::json() : nlohmann::json(entry.shares_with)},
      {"shared_tokens", shared * static_cast<uint64_t>(session.shape.block_tokens())},
      {"shared_bytes", shared * session.ordinal_bytes()}};
}

/// What the session has on disk beside its blocks' keys and values.
nlohmann::json OtherBytes(const SessionCatalog& catalog, const StoredSession& session) {
  const uint64_t per_block =
      SummaryBytes(session.shape) * static_cast<uint64_t>(session.shape.layers);
  const auto sketches = SketchBytes(catalog, session);
  return {{"landmark_bytes", static_cast<uint64_t>(session.blocks.size()) * per_block},
          {"sketch_bytes", sketches ? nlohmann::json(sketches.value()) : nlohmann::json()},
          {"token_bytes", session.record.tokens * sizeof(uint32_t)},
          {"tail_bytes", session.record.tail_bytes}};
}

}  // namespace

SessionListing ListSessions(SessionList all, uint64_t disk_bytes) {
  SessionListing listing;
  listing.disk_bytes = disk_bytes;
  std::vector<nlohmann::json> by_place(all.sessions.size());
  for (const SessionTreeEntry& entry : TreeOf(all.sessions)) {
    const SessionRecord& record = all.sessions[entry.session];
    auto summary = Summary(record, entry);
    if (!summary) {
      all.unreadable.push_back({record.name, summary.error().message});
      continue;
    }
    listing.tree.emplace_back(summary.value(), entry.depth);
    by_place[entry.session] = std::move(summary).value();
  }
  for (nlohmann::json& one : by_place) {
    if (!one.is_null()) listing.sessions.push_back(std::move(one));
  }
  for (const auto& [name, what] : all.unreadable) {
    listing.damaged.push_back({{"name", name}, {"message", what}});
  }
  return listing;
}

nlohmann::json ToJson(const SessionListing& listing) {
  return {{"sessions", listing.sessions},
          {"damaged", listing.damaged},
          {"disk_bytes", listing.disk_bytes}};
}

Result<nlohmann::json> DescribeSession(const SessionCatalog& catalog, const StoredSession& session,
                                       const std::vector<HistoryStep>& history) {
  const SessionRecord& record = session.record;
  const SessionProfile& profile = session.profile;
  CAIRN_TRY(auto digest, SessionDigest(catalog, record, profile.DigestText()));
  nlohmann::json json = nlohmann::json::parse(profile.ToJson(), nullptr, false);
  json["name"] = record.name;
  json["tokens"] = record.tokens;
  json["rows"] = record.rows;
  json["blocks"] = session.blocks.size();
  json["payload_bytes"] = session.payload_bytes();
  json["commits"] = record.commits;
  json["extents"] = record.ranges.size();
  json["digest"] = digest;
  json.update(OtherBytes(catalog, session));
  json["history"] = HistoryJson(history, session.ordinal_bytes());
  const IndexOptions index{
      .representatives = session.shape.representatives,
      .dtype = session.shape.block.dtype == DType::kF32 ? DType::kF32 : DType::kBF16};
  json["index"] = IndexKindName(index.Chosen(session.blocks.size()));
  CAIRN_TRY(const auto all, catalog.List());
  json["own_bytes"] = OwnBlocks(record, all.sessions) * session.ordinal_bytes();
  json["forks"] = nlohmann::json::array();
  for (const SessionTreeEntry& entry : TreeOf(all.sessions)) {
    const uint64_t shared_tokens = entry.shared_blocks * profile.block_tokens;
    if (all.sessions[entry.session].id == record.id) {
      json["shares_with"] =
          entry.shares_with.empty() ? nlohmann::json() : nlohmann::json(entry.shares_with);
      json["shared_tokens"] = shared_tokens;
    }
    if (entry.shares_with != record.name) continue;
    json["forks"].push_back(
        {{"name", all.sessions[entry.session].name}, {"shared_tokens", shared_tokens}});
  }
  return json;
}

}  // namespace cairn
