// CommandRun: one store on which the commands that take long are run and killed: compact, backup,
// repair, export and import of sessions. After a kill the store is compared with what it must hold,
// then the command is run once more to its end, and all is compared again.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "tests/support/session_crowd.h"
#include "tests/torture/command_killer.h"

namespace cairn::test {

enum class CommandKind : uint8_t { kCompact, kBackup, kRepair, kExport, kImport, kImportNew };
inline constexpr int kCommandKinds = 6;
/// As keys of a report.
const char* CommandName(CommandKind kind);

struct CommandCounts {
  std::array<CommandKills, kCommandKinds> of{};

  CommandCounts& operator+=(const CommandCounts& other);
};

class CommandRun {
 public:
  /// Works in the new directory `path`.
  CommandRun(std::string path, uint64_t seed);

  /// Some changes of sessions; then a command, killed some times. An error says what differs.
  Status Round();
  const CommandCounts& counts() const { return counts_; }

 private:
  using Contents = std::map<std::string, SessionCrowd::Content>;

  std::string store() const { return path_ + "/store"; }
  std::string file() const { return path_ + "/exported"; }
  size_t Below(size_t end) { return random_() % end; }
  CommandKills& Of(CommandKind kind) { return counts_.of[static_cast<size_t>(kind)]; }

  Status Compact();
  Status Backup();
  Status Repair();
  Status Export();
  Status Import();
  Status ImportNew();
  Status MakeFile();
  Status Damage();
  /// What `repair --dry-run` says that sessions will have.
  Result<Contents> Planned();
  /// Each session is what it was, or what is planned, or still damaged.
  Status CompareRepaired(const Contents& planned, bool* any_done);
  /// Whether a store has the session of the file, whole, under that name.
  Result<bool> Has(const std::string& store, const std::string& name);

  const std::string path_;
  std::mt19937_64 random_;
  CommandKiller killer_;
  const bool damages_;  // in other stores nothing is repaired
  SessionCrowd crowd_;
  SessionCrowd::Content in_file_;  // of the session that was exported
  uint64_t names_ = 0;
  CommandCounts counts_;
};

}  // namespace cairn::test
