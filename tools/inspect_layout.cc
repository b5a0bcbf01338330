// cairn inspect layout: the files of a store, and whose space it is.
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/byte_size.h"
#include "base/plain_text.h"
#include "tools/inspectors.h"
#include "tools/print_json.h"
#include "tools/stored_session.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

using nlohmann::json;

struct LevelSum {
  uint64_t files = 0, bytes = 0, entries = 0;
};

class LayoutInspector final : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand("layout", "Files, levels, and whose space it is");
    command->add_option("--store", flags_.store, "Directory of the store")
        ->required()
        ->type_name("DIR");
    command->add_flag("--files", files_, "Each file by name");
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    CAIRN_TRY(auto cold, OpenStore(flags_, false, true));
    CAIRN_TRY(const auto catalog, SessionCatalog::Open(*cold, true));
    CAIRN_TRY(const SessionList all, catalog.List());
    CAIRN_TRY(const auto files, cold->Files());
    json document{{"disk_bytes", cold->Stats().disk_bytes}, {"levels", Levels(files)}};
    document["sessions"] = Sessions(catalog, all);
    if (files_ || flags_.json) document["files"] = Names(files);
    if (flags_.json) {
      PrintJson(document);
    } else {
      Print(document);
    }
    return Ok();
  }

 private:
  static json Levels(const std::vector<StoreFile>& files) {
    std::map<std::pair<bool, int>, LevelSum> sums;
    for (const StoreFile& file : files) {
      LevelSum& sum = sums[{!file.payload, file.level}];
      ++sum.files;
      sum.bytes += file.bytes;
      sum.entries += file.entries;
    }
    json levels = json::array();
    for (const auto& [place, sum] : sums) {
      levels.push_back({{"holds", place.first ? "metadata" : "blocks"},
                        {"level", place.second},
                        {"files", sum.files},
                        {"bytes", sum.bytes},
                        {"entries", sum.entries}});
    }
    return levels;
  }

  static json Names(const std::vector<StoreFile>& files) {
    json names = json::array();
    for (const StoreFile& file : files) {
      names.push_back({{"name", file.name},
                       {"holds", file.payload ? "blocks" : "metadata"},
                       {"level", file.level},
                       {"bytes", file.bytes},
                       {"entries", file.entries}});
    }
    return names;
  }

  static json Sessions(const SessionCatalog& catalog, const SessionList& all) {
    json sessions = json::array();
    for (const SessionRecord& record : all.sessions) {
      const auto session = StoredSession::FromRecord(record);
      if (!session.has_value()) {
        sessions.push_back({{"name", record.name}, {"damaged", session.error().message}});
        continue;
      }
      const uint64_t each = session.value().ordinal_bytes();
      const uint64_t bytes = session.value().payload_bytes();
      const uint64_t own = OwnBlocks(record, all.sessions) * each;
      // While a session is unreadable it may have any block, and all stay.
      const uint64_t freed = all.unreadable.empty() ? FreedBlocks(record, all.sessions) * each : 0;
      const auto sketches = SketchBytes(catalog, session.value());
      sessions.push_back({{"name", record.name},
                          {"tokens", record.tokens},
                          {"sketch_bytes", sketches ? json(sketches.value()) : json()},
                          {"payload_bytes", bytes},
                          {"own_bytes", own},
                          {"shared_bytes", bytes - own},
                          {"freed_by_delete_bytes", freed},
                          {"extents", record.ranges.size()}});
    }
    for (const auto& [name, what] : all.unreadable) {
      sessions.push_back({{"name", name}, {"damaged", what}});
    }
    return sessions;
  }

  /// RocksDB's, of its table files; segments have none.
  static std::string LevelOf(const json& files) {
    return files["holds"] == "blocks" ? "-" : std::to_string(files["level"].get<int>());
  }

  static void Print(const json& document) {
    const auto size = [](const json& of, const char* key) {
      return FormatByteSize(of[key].get<uint64_t>());
    };
    fmt::print("{} on disk\n\n{:<10} {:>6} {:>7} {:>12} {:>12}\n", size(document, "disk_bytes"),
               "files of", "level", "files", "bytes", "entries");
    for (const json& level : document["levels"]) {
      fmt::print("{:<10} {:>6} {:>7} {:>12} {:>12}\n", level["holds"].get<std::string>(),
                 LevelOf(level), level["files"].get<uint64_t>(), size(level, "bytes"),
                 level["entries"].get<uint64_t>());
    }
    if (document.contains("files")) fmt::print("\n");
    for (const json& file : document.value("files", json::array())) {
      fmt::print("{:<20} {:<8} level {} {:>12} {:>10} entries\n", file["name"].get<std::string>(),
                 file["holds"].get<std::string>(), LevelOf(file), size(file, "bytes"),
                 file["entries"].get<uint64_t>());
    }
    PrintSessions(document["sessions"]);
  }

  static void PrintSessions(const json& sessions) {
    const auto size = [](const json& of) {
      return of.is_null() ? "damaged" : FormatByteSize(of.get<uint64_t>());
    };
    const bool sketched = std::ranges::any_of(
        sessions, [](const json& session) { return session.value("sketch_bytes", json(0)) != 0; });
    fmt::print("\n{:<24} {:>12} {:>12} {:>12} {:>16}{}\n", "session", "keys, values", "its own",
               "shared", "freed by delete", sketched ? "     sketches" : "");
    for (const json& session : sessions) {
      const std::string name = ForTerminal(session["name"].get<std::string>());
      if (session.contains("damaged")) {
        fmt::print("{:<24} damaged: {}\n", name,
                   ForTerminal(session["damaged"].get<std::string>()));
        continue;
      }
      fmt::print("{:<24} {:>12} {:>12} {:>12} {:>16}{}\n", name, size(session["payload_bytes"]),
                 size(session["own_bytes"]), size(session["shared_bytes"]),
                 size(session["freed_by_delete_bytes"]),
                 sketched ? fmt::format(" {:>12}", size(session["sketch_bytes"])) : "");
    }
  }

  Flags flags_;
  bool files_ = false;
};

}  // namespace

std::unique_ptr<Command> MakeLayoutInspector() { return std::make_unique<LayoutInspector>(); }

}  // namespace cairn
