// cairn sessions: list, show and delete what a store holds.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/byte_size.h"
#include "engine/session.h"
#include "engine/stored_shape.h"
#include "tools/command.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

Result<SessionProfile> ProfileOf(const SessionRecord& record) {
  CAIRN_TRY(auto stored, ParseStoredShape(record.properties));
  return SessionProfile::FromJson(stored.properties);
}

Result<nlohmann::json> Describe(const SessionCatalog& catalog, const SessionRecord& record) {
  CAIRN_TRY(auto stored, ParseStoredShape(record.properties));
  CAIRN_TRY(auto profile, SessionProfile::FromJson(stored.properties));
  CAIRN_TRY(auto digest, SessionDigest(catalog, record, profile.DigestText()));
  const auto shape = nlohmann::json::parse(stored.shape, nullptr, false);
  uint64_t blocks = 0;
  for (const ExtentRange& range : record.ranges) blocks += range.count;
  const uint64_t element = profile.kv_type == DType::kF32 ? 4 : 2;
  const uint64_t block_bytes = 2 * element * shape.value("block_rows", 0ull) *
                               shape.value("head_dim", 0ull) * shape.value("layers", 0ull) *
                               shape.value("kv_heads", 0ull);
  nlohmann::json json = nlohmann::json::parse(profile.ToJson(), nullptr, false);
  json["name"] = record.name;
  json["tokens"] = record.tokens;
  json["rows"] = record.rows;
  json["blocks"] = blocks;
  json["payload_bytes"] = blocks * block_bytes;
  json["commits"] = record.commits;
  json["extents"] = record.ranges.size();
  json["digest"] = digest;
  return json;
}

void PrintText(const nlohmann::json& json) {
  fmt::print("session    {}\n", json["name"].get<std::string>());
  fmt::print("tokens     {} in {} rows, {} sealed blocks, {}\n", json["tokens"].get<uint64_t>(),
             json["rows"].get<uint64_t>(), json["blocks"].get<uint64_t>(),
             FormatByteSize(json["payload_bytes"].get<uint64_t>()));
  fmt::print("model      {}\n", json["model"]["path"].get<std::string>());
  for (const auto& adapter : json["adapters"]) {
    fmt::print("adapter    {} (scale {})\n", adapter["path"].get<std::string>(),
               adapter["scale"].get<double>());
  }
  fmt::print("options    {}\n", json["options"].dump());
  for (const auto& ingest : json["ingests"]) {
    fmt::print("read       {}: {} tokens from token {}{}\n", ingest["source"].get<std::string>(),
               ingest["tokens"].get<int64_t>(), ingest["start"].get<int64_t>(),
               ingest["done"].get<bool>() ? "" : " (unfinished)");
  }
  fmt::print("commits    {} in {} extents\n", json["commits"].get<uint64_t>(),
             json["extents"].get<uint64_t>());
  fmt::print("digest     {}\n", json["digest"].get<std::string>());
}

class SessionsCommand : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand("sessions", "List, show and delete sessions");
    command->require_subcommand(1);
    list_ = command->add_subcommand("list", "All sessions of a store");
    show_ = command->add_subcommand("show", "One session in full");
    delete_ = command->add_subcommand("delete", "Remove a session and free its space");
    for (CLI::App* action : {list_, show_, delete_}) {
      if (action != list_) action->add_option("NAME", flags_.session, "The session")->required();
      action->add_option("--store", flags_.store, "Directory of the store")
          ->required()
          ->type_name("DIR");
      flags_.AddOutput(*action);
    }
    return command;
  }

  Status Run() override {
    const bool deletes = delete_->parsed();
    if (!list_->parsed()) CAIRN_TRY(SessionCatalog::ValidateName(flags_.session));
    CAIRN_TRY(auto cold, OpenStore(flags_, false, !deletes));
    CAIRN_TRY(auto catalog, SessionCatalog::Open(*cold, !deletes));
    if (deletes) return Delete(catalog);
    return list_->parsed() ? List(catalog, *cold) : Show(catalog);
  }

 private:
  Status List(const SessionCatalog& catalog, ColdStore& cold) const {
    CAIRN_TRY(auto records, catalog.List());
    nlohmann::json sessions = nlohmann::json::array();
    for (const SessionRecord& record : records) {
      CAIRN_TRY(auto profile, ProfileOf(record));
      const bool unfinished = !profile.ingests.empty() && !profile.ingests.back().done;
      sessions.push_back({{"name", record.name},
                          {"tokens", record.tokens},
                          {"mode", AttentionModeName(profile.mode)},
                          {"unfinished", unfinished}});
      if (flags_.json) continue;
      fmt::print("{:<24} {:>12} tokens  {}{}\n", record.name, record.tokens,
                 AttentionModeName(profile.mode), unfinished ? "  (unfinished)" : "");
    }
    const ColdStoreStats stats = cold.Stats();
    if (flags_.json) {
      fmt::print("{}\n",
                 nlohmann::json{{"sessions", sessions}, {"disk_bytes", stats.disk_bytes}}.dump());
    } else {
      fmt::print("{} in all, {} on disk\n", records.size(), FormatByteSize(stats.disk_bytes));
    }
    return Ok();
  }

  Status Show(const SessionCatalog& catalog) const {
    CAIRN_TRY(auto record, catalog.Find(flags_.session));
    CAIRN_TRY(auto json, Describe(catalog, record));
    if (flags_.json) {
      fmt::print("{}\n", json.dump());
    } else {
      PrintText(json);
    }
    return Ok();
  }

  Status Delete(SessionCatalog& catalog) const {
    CAIRN_TRY(catalog.Delete(flags_.session));
    if (flags_.json) {
      fmt::print("{}\n", nlohmann::json{{"deleted", flags_.session}}.dump());
    } else if (!flags_.quiet) {
      fmt::print(stderr, "session '{}' is deleted\n", flags_.session);
    }
    return Ok();
  }

  Flags flags_;
  CLI::App* list_ = nullptr;
  CLI::App* show_ = nullptr;
  CLI::App* delete_ = nullptr;
};

}  // namespace

std::unique_ptr<Command> MakeSessionsCommand() { return std::make_unique<SessionsCommand>(); }

}  // namespace cairn
