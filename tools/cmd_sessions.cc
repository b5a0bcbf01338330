// cairn sessions: list, show, fork, rename, delete, export and import what a store holds.
#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/byte_size.h"
#include "base/plain_text.h"
#include "base/progress.h"
#include "base/tell.h"
#include "engine/fork_point.h"
#include "engine/session.h"
#include "engine/stored_shape.h"
#include "engine/summary.h"
#include "tools/command.h"
#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/print_json.h"
#include "tools/session_history.h"
#include "tools/session_report.h"
#include "tools/session_transfer.h"
#include "tools/session_tree.h"
#include "tools/stored_session.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

Result<SessionProfile> ProfileOf(const SessionRecord& record) {
  CAIRN_TRY(auto stored, ParseStoredShape(record.properties));
  return SessionProfile::FromJson(stored.properties);
}

uint64_t BlocksOf(const SessionRecord& record) {
  uint64_t blocks = 0;
  for (const ExtentRange& range : record.ranges) blocks += range.count;
  return blocks;
}

/// Payload bytes of `blocks` sealed blocks, all heads and layers together.
Result<uint64_t> BytesOf(const SessionRecord& record, uint64_t blocks) {
  CAIRN_TRY(auto stored, ParseStoredShape(record.properties));
  CAIRN_TRY(auto shape, ParseShape(stored.shape));
  return blocks * GridOf(shape).bytes();
}

/// Null: they cannot be read.
std::string SketchText(const nlohmann::json& bytes) {
  return bytes.is_null() ? "damaged" : FormatByteSize(bytes.get<uint64_t>());
}

void PrintText(const nlohmann::json& json, const std::string& growth) {
  fmt::print("session    {}\n", json["name"].get<std::string>());
  fmt::print("tokens     {} in {} rows, {} sealed blocks, {}\n", json["tokens"].get<uint64_t>(),
             json["rows"].get<uint64_t>(), json["blocks"].get<uint64_t>(),
             FormatByteSize(json["payload_bytes"].get<uint64_t>()));
  const nlohmann::json& model = json["model"];
  if (model.contains("caller")) {
    fmt::print("model      {}, run by another program\n",
               ForTerminal(model["caller"].get<std::string>()));
  } else {
    fmt::print("model      {}\n", ForTerminal(model["path"].get<std::string>()));
  }
  for (const auto& adapter : json["adapters"]) {
    fmt::print("adapter    {} (scale {})\n", ForTerminal(adapter["path"].get<std::string>()),
               adapter["scale"].get<double>());
  }
  fmt::print("options    {}\n", json["options"].dump());
  fmt::print("search     {} (--index auto)\n", json["index"].get<std::string>());
  for (const auto& ingest : json["ingests"]) {
    fmt::print("read       {}: {} tokens from token {}{}\n",
               ForTerminal(ingest["source"].get<std::string>()), ingest["tokens"].get<int64_t>(),
               ingest["start"].get<int64_t>(), ingest["done"].get<bool>() ? "" : " (unfinished)");
  }
  if (!json["shares_with"].is_null()) {
    fmt::print("fork       its first {} tokens are those of {}\n",
               json["shared_tokens"].get<uint64_t>(), json["shares_with"].get<std::string>());
  }
  for (const auto& fork : json["forks"]) {
    fmt::print("forked     {} has its first {} tokens\n", fork["name"].get<std::string>(),
               fork["shared_tokens"].get<uint64_t>());
  }
  const uint64_t payload = json["payload_bytes"].get<uint64_t>();
  const uint64_t own = json["own_bytes"].get<uint64_t>();
  const auto size = [&](const char* key) { return FormatByteSize(json[key].get<uint64_t>()); };
  const bool sketched = json["sketch_bytes"] != 0;
  fmt::print(
      "on disk    {} of its own, {} shared; landmarks {},{} tokens {}, unfinished block {}\n",
      FormatByteSize(own), FormatByteSize(payload - own), size("landmark_bytes"),
      sketched ? fmt::format(" sketches {},", SketchText(json["sketch_bytes"])) : "",
      size("token_bytes"), size("tail_bytes"));
  fmt::print("commits    {} in {} extents\n", json["commits"].get<uint64_t>(),
             json["extents"].get<uint64_t>());
  fmt::print("growth     {}\n", growth);
  fmt::print("digest     {}\n", json["digest"].get<std::string>());
}

class SessionsCommand : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand(
        "sessions", "List, show, fork, rename, delete, export and import sessions");
    command->require_subcommand(1);
    list_ = AddAction(*command, "list", "All sessions of a store");
    list_->add_flag("--names", names_, "Names alone, one on each line");
    show_ = AddAction(*command, "show", "One session in full");
    show_->add_option("NAME", flags_.session, "The session")->required();
    show_->add_flag("--history", history_, "Also how it grew, a line for each step");
    fork_ = AddAction(*command, "fork", "Make a session that shares another one's past");
    fork_->add_option("SRC", flags_.session, "The session to share")->required();
    fork_->add_option("DST", new_name_, "Name of the fork")->required();
    fork_->add_option("--at", at_, "Share only what stands before this token")->type_name("TOKEN");
    rename_ = AddAction(*command, "rename", "Give a session another name");
    rename_->add_option("OLD", flags_.session, "The session")->required();
    rename_->add_option("NEW", new_name_, "Its new name")->required();
    delete_ = AddAction(*command, "delete", "Remove a session and free its space");
    delete_->add_option("NAME", flags_.session, "The session")->required();
    export_ = AddAction(*command, "export", "Write a session with all its past to a file");
    export_->add_option("NAME", flags_.session, "The session")->required();
    export_->add_option("FILE", file_, "File to write")->required();
    import_ = AddAction(*command, "import", "Make an exported session one of a store");
    import_->add_option("FILE", file_, "File that `sessions export` wrote")->required();
    import_->add_option("--as", flags_.session, "Its name (default: the one it had)")
        ->type_name("NAME");
    import_->add_option("--disk-limit", flags_.disk_limit, "Most the store may occupy")
        ->type_name("SIZE");
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    if (names_ && flags_.json) {
      return Fail(Errc::kInvalidArgument, "--names prints no JSON; leave it out, or --json");
    }
    const bool unnamed = list_->parsed() || (import_->parsed() && flags_.session.empty());
    if (!unnamed) CAIRN_TRY(SessionCatalog::ValidateName(flags_.session));
    if (export_->parsed()) return ExportToFile(flags_, file_);
    if (import_->parsed()) return ImportFromFile(flags_, file_);
    const bool reads = list_->parsed() || show_->parsed();
    CAIRN_TRY(auto cold, OpenStore(flags_, false, reads));
    CAIRN_TRY(auto catalog, SessionCatalog::Open(*cold, reads));
    if (list_->parsed()) return List(catalog, *cold);
    if (show_->parsed()) return Show(catalog);
    if (fork_->parsed()) return Fork(catalog, *cold);
    if (rename_->parsed()) return Rename(catalog);
    return Delete(catalog);
  }

 private:
  CLI::App* AddAction(CLI::App& command, const char* name, const char* help) {
    CLI::App* action = command.add_subcommand(name, help);
    action->add_option("--store", flags_.store, "Directory of the store")
        ->required()
        ->type_name("DIR");
    flags_.AddOutput(*action);
    return action;
  }

  static void PrintSummary(const nlohmann::json& json, int depth) {
    const auto shared = json["shared_tokens"].get<uint64_t>();
    fmt::print(
        "{:<24} {:>12} tokens {:>10}  {}{}{}\n",
        std::string(2 * static_cast<size_t>(depth), ' ') + json["name"].get<std::string>(),
        json["tokens"].get<uint64_t>(), FormatByteSize(json["payload_bytes"].get<uint64_t>()),
        json["mode"].get<std::string>(), json["unfinished"].get<bool>() ? "  (unfinished)" : "",
        shared == 0 ? ""
                    : fmt::format("  first {} tokens of {}", shared,
                                  json["shares_with"].get<std::string>()));
  }

  Status List(const SessionCatalog& catalog, ColdStore& cold) const {
    CAIRN_TRY(auto all, catalog.List());
    if (names_) {
      for (const SessionRecord& record : all.sessions) fmt::print("{}\n", record.name);
      return Ok();
    }
    const SessionListing listing = ListSessions(std::move(all), cold.Stats().disk_bytes);
    if (flags_.json) {
      PrintJson(ToJson(listing));
      return Ok();
    }
    for (const auto& [summary, depth] : listing.tree) PrintSummary(summary, depth);
    for (const auto& one : listing.damaged) {
      fmt::print("{:<24} damaged: {}\n", ForTerminal(one["name"].get<std::string>()),
                 ForTerminal(one["message"].get<std::string>()));
    }
    fmt::print("{} in all, {} on disk\n", listing.sessions.size() + listing.damaged.size(),
               FormatByteSize(listing.disk_bytes));
    return Ok();
  }

  Status Show(const SessionCatalog& catalog) const {
    CAIRN_TRY(auto record, catalog.Find(flags_.session));
    CAIRN_TRY(const auto session, StoredSession::FromRecord(std::move(record)));
    CAIRN_TRY(const auto history, HistoryOf(catalog, session));
    CAIRN_TRY(auto json, DescribeSession(catalog, session, history));
    if (flags_.json) {
      PrintJson(json);
      return Ok();
    }
    PrintText(json, DescribeGrowth(history, session.ordinal_bytes()));
    if (history_) fmt::print("\n{}", HistoryTable(history, session.ordinal_bytes()));
    return Ok();
  }

  /// The last place at or before --at where the session can be parted; none if that is its end.
  Result<std::optional<ForkPoint>> PointOf(const SessionRecord& source, ColdStore& cold) const {
    if (!at_.has_value()) return std::optional<ForkPoint>();
    const auto tokens = static_cast<int64_t>(source.tokens);
    if (*at_ < 0 || *at_ > tokens) {
      return Fail(Errc::kInvalidArgument, "--at {}: session '{}' has {} tokens; use 0 to {}", *at_,
                  source.name, tokens, tokens);
    }
    if (*at_ == tokens) return std::optional<ForkPoint>();
    CAIRN_TRY(auto profile, ProfileOf(source));
    CAIRN_TRY(const int64_t block_tokens, TokensPerBlock(source));
    int64_t blocks = *at_ / block_tokens;
    while (!profile.CanEndAt(blocks * block_tokens)) --blocks;
    profile.EndAt(blocks * block_tokens);
    Progress progress(flags_.quiet);
    CAIRN_TRY(auto point,
              ForkPointBehind(cold, source, blocks, profile.ToJson(),
                              [&](uint64_t done, uint64_t total) -> Status {
                                if (progress.Due())
                                  progress.Show(fmt::format("{} of {} blocks hashed", done, total));
                                if (!Interrupted()) return Ok();
                                return Fail(Errc::kInterrupted, "stopped; there is no fork");
                              }));
    return std::optional<ForkPoint>(std::move(point));
  }

  Status Fork(SessionCatalog& catalog, ColdStore& cold) const {
    CAIRN_TRY(auto source, catalog.Find(flags_.session));
    CAIRN_TRY(catalog.CheckFree(new_name_));
    CAIRN_TRY(auto point, PointOf(source, cold));
    CAIRN_TRY(auto fork, catalog.Fork(source, new_name_, point));
    CAIRN_TRY(const uint64_t shared_bytes, BytesOf(fork, BlocksOf(fork)));
    if (flags_.json) {
      PrintJson(nlohmann::json{{"forked", source.name},
                               {"name", fork.name},
                               {"tokens", fork.tokens},
                               {"blocks", BlocksOf(fork)},
                               {"shared_bytes", shared_bytes}});
    } else if (!flags_.quiet) {
      Tell("session '{}' has the first {} of {} tokens of '{}' and shares {} with it\n", fork.name,
           fork.tokens, source.tokens, source.name, FormatByteSize(shared_bytes));
    }
    return Ok();
  }

  Status Rename(SessionCatalog& catalog) const {
    CAIRN_TRY(catalog.Rename(flags_.session, new_name_));
    if (flags_.json) {
      PrintJson(nlohmann::json{{"renamed", flags_.session}, {"name", new_name_}});
    } else if (!flags_.quiet) {
      Tell("session '{}' is now '{}'\n", flags_.session, new_name_);
    }
    return Ok();
  }

  Status Delete(SessionCatalog& catalog) const {
    const auto record = catalog.Find(flags_.session);
    if (!record && record.error().code != Errc::kCorruption) return record.as_failure();
    CAIRN_TRY(const auto all, catalog.List());
    CAIRN_TRY(const uint64_t freed, catalog.Delete(flags_.session));
    // A session that is damaged can be deleted too; then nobody knows the size of its blocks.
    const auto bytes_of = [&](uint64_t blocks) {
      return record ? BytesOf(record.value(), blocks) : Result<uint64_t>(record.as_failure());
    };
    const auto freed_bytes = bytes_of(freed);
    if (flags_.json) {
      nlohmann::json json{{"deleted", flags_.session}};
      json["freed_bytes"] = freed_bytes ? nlohmann::json(freed_bytes.value()) : nullptr;
      PrintJson(json);
    } else if (!flags_.quiet && freed_bytes) {
      const uint64_t kept_bytes = bytes_of(BlocksOf(record.value()) - freed).value();
      const char* why =
          all.unreadable.empty() ? ", which others share" : " until damaged sessions are deleted";
      Tell("session '{}' is deleted, {} of keys and values freed{}\n", flags_.session,
           FormatByteSize(freed_bytes.value()),
           kept_bytes == 0 ? "" : fmt::format("; {} stay{}", FormatByteSize(kept_bytes), why));
    } else if (!flags_.quiet) {
      Tell("session '{}' is deleted{}\n", flags_.session,
           record ? "" : "; its space is freed when the store is next written to");
    }
    return Ok();
  }

  Flags flags_;
  std::string new_name_;
  std::string file_;
  std::optional<int64_t> at_;
  bool history_ = false, names_ = false;
  CLI::App* list_ = nullptr;
  CLI::App* show_ = nullptr;
  CLI::App* fork_ = nullptr;
  CLI::App* rename_ = nullptr;
  CLI::App* delete_ = nullptr;
  CLI::App* export_ = nullptr;
  CLI::App* import_ = nullptr;
};

}  // namespace

std::unique_ptr<Command> MakeSessionsCommand() { return std::make_unique<SessionsCommand>(); }

}  // namespace cairn
