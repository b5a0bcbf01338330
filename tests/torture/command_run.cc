#include "tests/torture/command_run.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <utility>

#include "engine/stored_shape.h"
#include "storage/rocks_cold_store.h"
#include "storage/session_import.h"
#include "tests/torture/session_damage.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

constexpr int kFirstOperations = 60;  // on the sessions of a new store
constexpr int kOperations = 8;        // between two commands
constexpr int kKills = 6;             // of one command, at most, before it may come to its end

constexpr auto kNoWatch = [](uint64_t, uint64_t) { return Status(Ok()); };

}  // namespace

const char* CommandName(CommandKind kind) {
  constexpr const char* kNames[kCommandKinds] = {"compact", "backup", "repair",
                                                 "export",  "import", "import_to_new_store"};
  return kNames[static_cast<size_t>(kind)];
}

CommandCounts& CommandCounts::operator+=(const CommandCounts& other) {
  for (size_t i = 0; i < of.size(); ++i) of[i] += other.of[i];
  return *this;
}

CommandRun::CommandRun(std::string path, uint64_t seed)
    : path_(std::move(path)),
      random_(seed),
      killer_(path_, random_()),
      damages_(random_() % 2 == 0),
      crowd_(store(), seed) {}

Status CommandRun::Round() {
  const bool first = !fs::exists(path_);
  fs::create_directories(path_);
  CAIRN_TRY(crowd_.Run(/*threads=*/1, first ? kFirstOperations : kOperations));
  auto kind = CommandKind(Below(kCommandKinds));
  if (kind == CommandKind::kRepair && !damages_) kind = CommandKind::kCompact;
  const auto status = [&]() -> Status {
    switch (kind) {
      case CommandKind::kCompact:
        return Compact();
      case CommandKind::kBackup:
        return Backup();
      case CommandKind::kRepair:
        return Repair();
      case CommandKind::kExport:
        return Export();
      case CommandKind::kImport:
        return Import();
      case CommandKind::kImportNew:
        return ImportNew();
    }
    return Ok();
  }();
  if (status) CAIRN_TRY(crowd_.CompareAll());
  if (status) return damages_ ? Ok() : crowd_.CompareExtents();
  return Fail(status.error().code, "{}: {}", CommandName(kind), status.error().message);
}

Status CommandRun::Compact() {
  for (int i = 0; i < kKills; ++i) {
    CAIRN_TRY(const CommandEnd end,
              killer_.Kill({"compact", "--store", store(), "--quiet"}, Of(CommandKind::kCompact)));
    if (!end.killed) return Ok();
    CAIRN_TRY(crowd_.CompareAll());
  }
  return killer_.RunToEnd({"compact", "--store", store(), "--quiet"}, Of(CommandKind::kCompact));
}

Status CommandRun::Backup() {
  const std::string target = path_ + "/copy";
  const std::vector<std::string> command = {"backup", "--store", store(), "--quiet", target};
  for (int i = 0; i < kKills && !fs::exists(target); ++i) {
    CAIRN_TRY(const CommandEnd end, killer_.Kill(command, Of(CommandKind::kBackup)));
    if (end.killed && fs::exists(target)) ++Of(CommandKind::kBackup).done;
  }
  CAIRN_TRY(crowd_.CompareAll());
  // What a killed one has left is no obstacle.
  if (!fs::exists(target)) CAIRN_TRY(killer_.RunToEnd(command, Of(CommandKind::kBackup)));
  CAIRN_TRY(crowd_.CompareAll(target));
  fs::remove_all(target);
  return Ok();
}

Status CommandRun::Damage() {
  const size_t kind = Below(6);
  if (kind < 3) {
    std::vector<std::string> names;
    for (const auto& [name, content] : crowd_.committed()) {
      if (content.rows >= BookShape().block.block_rows) names.push_back(name);
    }
    if (names.empty()) return Ok();
    const Status done =
        DamageBlock(store(), names[Below(names.size())], GridOf(BookShape()), random_);
    return done || done.error().code != Errc::kCorruption ? done : Ok();  // it was damaged already
  }
  constexpr const char* kPrefixes[] = {"m/", "t/", "a/"};  // summaries, tokens, tails
  return DamageEntry(store(), kPrefixes[kind - 3], random_);
}

Result<CommandRun::Contents> CommandRun::Planned() {
  CAIRN_TRY(const CommandEnd end,
            killer_.Run({"repair", "--store", store(), "--dry-run", "--json", "--quiet"}));
  Contents planned = crowd_.committed();
  const auto said = nlohmann::json::parse(killer_.Output(), nullptr, false);
  if (end.exit_code != 0 || said.is_discarded() || !said.at("hopeless").empty()) {
    return Fail(Errc::kMismatch, "`cairn repair --dry-run` ended with {}: {}", end.exit_code,
                killer_.Output());
  }
  for (const auto& session : said.at("repaired")) {
    planned.at(session.at("session")).rows = session.at("tokens");
  }
  return planned;
}

Status CommandRun::CompareRepaired(const Contents& planned, bool* any_done) {
  CAIRN_TRY(const auto cold, RocksColdStore::Open(store(), {.read_only = true}));
  CAIRN_TRY(const auto catalog, SessionCatalog::Open(*cold, true));
  for (const auto& [name, content] : crowd_.committed()) {
    const SessionCrowd::Content& cut = planned.at(name);
    const Status whole = crowd_.Compare(*cold, catalog, name, content);
    if (whole || (cut.rows != content.rows && whole.error().code == Errc::kCorruption)) continue;
    CAIRN_TRY(crowd_.Compare(*cold, catalog, name, cut));
    *any_done = true;
  }
  return Ok();
}

Status CommandRun::Repair() {
  for (size_t damages = 1 + Below(3); damages > 0; --damages) CAIRN_TRY(Damage());
  CAIRN_TRY(const Contents planned, Planned());
  const std::vector<std::string> command = {"repair", "--store", store(), "--cut", "--quiet"};
  for (int i = 0; i < kKills; ++i) {
    CAIRN_TRY(const CommandEnd end, killer_.Kill(command, Of(CommandKind::kRepair)));
    bool any_done = false;
    CAIRN_TRY(CompareRepaired(planned, &any_done));
    if (end.killed && any_done) ++Of(CommandKind::kRepair).done;
  }
  CAIRN_TRY(killer_.RunToEnd(command, Of(CommandKind::kRepair)));
  crowd_.committed() = planned;
  return Ok();
}

Status CommandRun::MakeFile() {
  Contents& sessions = crowd_.committed();
  auto session = sessions.begin();
  std::advance(session, Below(sessions.size()));
  in_file_ = session->second;
  fs::remove(file());
  const std::vector<std::string> command = {"sessions", "export", session->first, file(),
                                            "--store",  store(),  "--quiet"};
  for (int i = 0; i < kKills && !fs::exists(file()); ++i) {
    CAIRN_TRY(const CommandEnd end, killer_.Kill(command, Of(CommandKind::kExport)));
    if (end.killed && fs::exists(file())) ++Of(CommandKind::kExport).done;
  }
  if (!fs::exists(file())) CAIRN_TRY(killer_.RunToEnd(command, Of(CommandKind::kExport)));
  const auto no_sink = [](const ExportedSession&, uint32_t, std::span<const std::byte>) {
    return Status(Ok());
  };
  CAIRN_TRY(ReadSessionFile(file(), no_sink, kNoWatch));
  return Ok();
}

Status CommandRun::Export() {
  if (crowd_.committed().empty()) return Ok();
  return MakeFile();
}

Result<bool> CommandRun::Has(const std::string& store, const std::string& name) {
  const auto cold = RocksColdStore::Open(store, {.read_only = true});
  if (!cold) return false;  // it must still be made one by the next import
  CAIRN_TRY(const auto catalog, SessionCatalog::Open(*cold.value(), true));
  const auto found = catalog.Find(name);
  if (!found && found.error().code == Errc::kNotFound) return false;
  CAIRN_TRY(crowd_.Compare(*cold.value(), catalog, name, in_file_));
  return true;
}

Status CommandRun::Import() {
  if (!fs::exists(file())) CAIRN_TRY(Export());
  if (!fs::exists(file())) return Ok();
  const std::string name = fmt::format("i{}", names_++);
  const std::vector<std::string> command = {"sessions", "import",  file(),  "--as",
                                            name,       "--store", store(), "--quiet"};
  bool there = false;
  for (int i = 0; i < kKills && !there; ++i) {
    CAIRN_TRY(const CommandEnd end, killer_.Kill(command, Of(CommandKind::kImport)));
    CAIRN_TRY(there, Has(store(), name));
    if (end.killed && there) ++Of(CommandKind::kImport).done;
    if (there) crowd_.committed()[name] = in_file_;
    CAIRN_TRY(crowd_.CompareAll());
  }
  if (there) return Ok();
  CAIRN_TRY(killer_.RunToEnd(command, Of(CommandKind::kImport)));
  crowd_.committed()[name] = in_file_;
  return Ok();
}

Status CommandRun::ImportNew() {
  if (!fs::exists(file())) CAIRN_TRY(Export());
  if (!fs::exists(file())) return Ok();
  const std::string made = path_ + "/made", name = "only";
  fs::remove_all(made);
  const std::vector<std::string> command = {"sessions", "import",  file(), "--as",
                                            name,       "--store", made,   "--quiet"};
  bool there = false;
  for (int i = 0; i < kKills && !there; ++i) {
    CAIRN_TRY(const CommandEnd end, killer_.Kill(command, Of(CommandKind::kImportNew)));
    CAIRN_TRY(there, Has(made, name));
    if (end.killed && there) ++Of(CommandKind::kImportNew).done;
  }
  if (!there) CAIRN_TRY(killer_.RunToEnd(command, Of(CommandKind::kImportNew)));
  CAIRN_TRY(there, Has(made, name));
  if (there) return Ok();
  return Fail(Errc::kMismatch, "the store {} has not the session that was imported", made);
}

}  // namespace cairn::test
