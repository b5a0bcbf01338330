#include "tools/settings_file.h"

#include <algorithm>
#include <cstdlib>
#include <sstream>

namespace cairn {
namespace {

constexpr const char* kBlanks = " \t\r";

std::string Trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string::npos) return "";
  return text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
}

/// The words of a section's name with one blank between them.
std::string Joined(const std::string& text) {
  std::istringstream words(text);
  std::string joined;
  for (std::string word; words >> word;) joined += (joined.empty() ? "" : " ") + word;
  return joined;
}

std::string ValueOf(const std::string& text) {
  std::string value = Trimmed(text);
  const bool quoted = value.size() >= 2 && (value.front() == '"' || value.front() == '\'') &&
                      value.back() == value.front();
  if (quoted) return value.substr(1, value.size() - 2);
  const char* home = std::getenv("HOME");
  if (value.starts_with("~/") && home != nullptr) value.replace(0, 1, home);
  return value;
}

}  // namespace

Result<SettingsLines> ParseSettings(std::string_view text, const std::string& path) {
  SettingsLines found;
  std::istringstream lines{std::string(text)};
  std::string section, raw;
  for (int number = 1; std::getline(lines, raw); ++number) {
    const std::string line = Trimmed(raw);
    if (line.empty() || line.front() == '#' || line.front() == ';') continue;
    if (line.front() == '[' && line.back() == ']') {
      section = Joined(line.substr(1, line.size() - 2));
      found.sections.push_back({number, section});
      continue;
    }
    const size_t equals = line.find('=');
    const std::string name = equals == std::string::npos ? "" : Trimmed(line.substr(0, equals));
    if (name.empty()) {
      return Fail(Errc::kInvalidArgument,
                  "{}:{}: '{}' is no setting; write NAME = VALUE, with the name of an option "
                  "without '--', or [COMMAND]",
                  path, number, line);
    }
    const std::string value = ValueOf(line.substr(equals + 1));
    if (value.empty()) {
      return Fail(Errc::kInvalidArgument, "{}:{}: '{}' has no value; give one, or remove the line",
                  path, number, name);
    }
    found.entries.push_back({number, section, name, value});
  }
  return found;
}

}  // namespace cairn
