// Settings: values of options that do not stand on the command line. An option --host-memory is
// also the variable CAIRN_HOST_MEMORY and the line "host-memory = SIZE" of the configuration file.
// What is nearest wins: command line, environment, file.
//
// Options that exclude another one, --help, --version and --config are for the command line alone.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "tools/settings_file.h"

namespace cairn {

class Settings {
 public:
  /// Adds --config to all commands of `app`, reads the file that it (or CAIRN_CONFIG, or the
  /// default place) names, and sees to it that a command which `app` parses gets its settings.
  /// `app` and this must outlive the parsing.
  Settings(CLI::App& app, int argc, char** argv);
  Settings(const Settings&) = delete;
  Settings& operator=(const Settings&) = delete;

  /// kInvalidArgument, kNotFound or kIo if the file is not what it should be; it was left out then.
  const Status& status() const { return status_; }
  /// Where the value of each option that `message` names, or whose value it has in quotes, comes
  /// from, in brackets; empty if all of them stand on the command line.
  std::string OriginsIn(const std::string& message) const;

  /// "CAIRN_HOST_MEMORY" of --host-memory.
  static std::string VariableOf(const std::string& long_name);
  /// Whether an option can be set by file and environment.
  static bool MayHold(const CLI::Option& option);

 private:
  struct Origin {
    std::string place, value;
    const CLI::Option* option;
    /// False if the command line says something else.
    bool IsInForce() const;
    bool IsQuotedIn(const std::string& message) const;
  };

  Status Read(const CLI::App& app);
  Status Check(const CLI::App& app, const SettingsSection& section) const;
  Status Check(const CLI::App& app, const SettingsEntry& entry) const;
  /// Gives the options of `command` what is set for them.
  void Supply(CLI::App& command, const std::string& path);
  /// The file's value of an option, and its lines: of the section that is nearest to the command.
  std::optional<std::pair<std::string, std::string>> FileValue(const CLI::Option& option,
                                                               const std::string& path) const;

  std::string path_;
  bool named_ = false;  // by somebody: then it must be there
  std::vector<SettingsEntry> entries_;
  std::map<std::string, Origin> origins_;  // of options by long name
  std::string given_;                      // what the parser takes for --config
  Status status_ = Ok();
};

}  // namespace cairn
