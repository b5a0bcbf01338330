// SettingsFile: the configuration file: options that people do not want to repeat.
//
//   # a comment
//   store = ~/texts
//   host-memory = 2GiB
//
//   [bench ladder]        for this command, or for all below it: [bench]
//   turn-ms = 300
//
// A name is that of an option without "--". A value is the rest of its line, perhaps in quotes; a
// flag's is true or false. "~/" at its beginning is the home directory.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace cairn {

struct SettingsEntry {
  int line = 0;         ///< from 1
  std::string section;  ///< "bench ladder"; empty: for all commands
  std::string name, value;
};

struct SettingsSection {
  int line = 0;  ///< where it begins
  std::string name;
};

/// What a file says, in its order.
struct SettingsLines {
  std::vector<SettingsSection> sections;  ///< empty ones too
  std::vector<SettingsEntry> entries;
};

/// kInvalidArgument naming `path` and the line if one is none of these.
Result<SettingsLines> ParseSettings(std::string_view text, const std::string& path);

}  // namespace cairn
