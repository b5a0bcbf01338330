#include "tools/settings.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <sstream>
#include <string_view>

#include "tools/command_tree.h"
#include "tools/text_file.h"

namespace cairn {
namespace {

constexpr std::string_view kConfig = "--config";

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

/// The value of --config on the command line. The parser sees it too late: settings have to be
/// there when it meets a command.
std::string NamedFile(int argc, char** argv) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--") break;
    if (word == kConfig && i + 1 < argc) return argv[i + 1];
    if (word.starts_with(kConfig) && word.substr(kConfig.size()).starts_with("=")) {
      return std::string(word.substr(kConfig.size() + 1));
    }
  }
  return Variable("CAIRN_CONFIG");
}

std::string DefaultFile() {
  const std::string base = Variable("XDG_CONFIG_HOME"), home = Variable("HOME");
  if (!base.empty()) return base + "/cairn/config";
  return home.empty() ? "" : home + "/.config/cairn/config";
}

/// Whether `section` stands for the command `path`, or for one above it.
bool Covers(const std::string& section, const std::string& path) {
  return section.empty() || section == path || path.starts_with(section + " ");
}

bool MayRepeat(const CLI::Option& option) {
  return option.get_type_size() != 0 && option.get_expected_max() > 1;
}

/// Whether `text` names the option, and not one with a longer name.
bool Mentions(const std::string& text, const std::string& long_name) {
  const std::string flag = "--" + long_name;
  for (size_t at = text.find(flag); at != std::string::npos; at = text.find(flag, at + 1)) {
    const size_t end = at + flag.size();
    const bool longer = end < text.size() &&
                        (std::isalnum(static_cast<unsigned char>(text[end])) || text[end] == '-');
    if (!longer) return true;
  }
  return false;
}

/// Whether `text` has this value: in quotes, or as a path that stands alone.
bool Quotes(const std::string& text, const std::string& value) {
  const bool path = value.find_first_of("./") != std::string::npos;
  const auto at_or_blank = [&](size_t at) { return at < text.size() ? text[at] : ' '; };
  const auto is_part = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || std::strchr("_-./=", c) != nullptr;
  };
  if (value.empty()) return false;
  for (size_t at = text.find(value); at != std::string::npos; at = text.find(value, at + 1)) {
    const char before = at == 0 ? ' ' : text[at - 1], after = at_or_blank(at + value.size());
    if ((before == '\'' && after == before) || (path && !is_part(before) && !is_part(after))) {
      return true;
    }
  }
  return false;
}

}  // namespace

std::string Settings::VariableOf(const std::string& long_name) {
  std::string name = "CAIRN_" + long_name;
  for (char& c : name) {
    c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  return name;
}

bool Settings::MayHold(const CLI::Option& option) {
  const std::string name = LongNameOf(option);
  return !name.empty() && name != "help" && name != "version" && name != "config" &&
         option.get_excludes().empty();
}

Settings::Settings(CLI::App& app, int argc, char** argv) : path_(NamedFile(argc, argv)) {
  named_ = !path_.empty();
  if (!named_) path_ = DefaultFile();
  for (const auto& [path, command] : CommandsOf(app)) {
    command->add_option(std::string(kConfig), given_, "Configuration file of this run")
        ->type_name("FILE");
    if (command == &app) continue;
    command->preparse_callback(
        [this, path = path, command = command](size_t) { Supply(*command, path); });
  }
  status_ = Read(app);
  if (!status_) entries_.clear();
}

Status Settings::Read(const CLI::App& app) {
  std::error_code ignored;
  if (!named_ && (path_.empty() || !std::filesystem::exists(path_, ignored))) return Ok();
  auto text = ReadText(path_);
  if (!text && text.error().code == Errc::kInvalidArgument) return Ok();  // nothing is in it
  if (!text) return Fail(text.error().code, "configuration file: {}", text.error().message);
  CAIRN_TRY(SettingsLines found, ParseSettings(text.value(), path_));
  for (const SettingsSection& section : found.sections) CAIRN_TRY(Check(app, section));
  entries_ = std::move(found.entries);
  for (const SettingsEntry& entry : entries_) CAIRN_TRY(Check(app, entry));
  return Ok();
}

Status Settings::Check(const CLI::App& app, const SettingsSection& section) const {
  for (const auto& [path, command] : CommandsOf(app)) {
    if (Covers(section.name, path)) return Ok();
  }
  return Fail(Errc::kInvalidArgument, "{}:{}: there is no command '{}'", path_, section.line,
              section.name);
}

Status Settings::Check(const CLI::App& app, const SettingsEntry& entry) const {
  bool holds = false;
  const CLI::Option* option = nullptr;
  for (const auto& [path, command] : CommandsOf(app)) {
    if (!Covers(entry.section, path)) continue;
    const CLI::Option* found = command->get_option_no_throw("--" + entry.name);
    if (found == nullptr || LongNameOf(*found) != entry.name) continue;
    option = found;
    holds = holds || MayHold(*found);
  }
  const auto fail = [&](const std::string& what) {
    return Fail(Errc::kInvalidArgument, "{}:{}: {}", path_, entry.line, what);
  };
  const std::string of =
      entry.section.empty() ? "no command has" : fmt::format("`cairn {}` has no", entry.section);
  if (option == nullptr) {
    return fail(
        fmt::format("{}{} option --{}", of, entry.section.empty() ? " an" : "", entry.name));
  }
  if (!holds) return fail(fmt::format("--{} is for the command line alone", entry.name));
  for (const SettingsEntry& other : entries_) {
    if (other.line >= entry.line) break;
    if (other.section != entry.section || other.name != entry.name || MayRepeat(*option)) continue;
    return fail(fmt::format("{} was set in line {} already", entry.name, other.line));
  }
  return Ok();
}

std::optional<std::pair<std::string, std::string>> Settings::FileValue(
    const CLI::Option& option, const std::string& path) const {
  const SettingsEntry* best = nullptr;
  const std::string name = LongNameOf(option);
  for (const SettingsEntry& entry : entries_) {
    if (entry.name != name || !Covers(entry.section, path)) continue;
    if (best == nullptr || entry.section.size() > best->section.size()) best = &entry;
  }
  if (best == nullptr) return std::nullopt;
  std::string value, lines;
  for (const SettingsEntry& entry : entries_) {
    if (entry.name != name || entry.section != best->section) continue;
    if (!value.empty()) value += option.get_delimiter() == '\0' ? '\n' : option.get_delimiter();
    value += entry.value;
    lines += fmt::format("{}{}", lines.empty() ? "" : ",", entry.line);
  }
  return std::pair(value, fmt::format("{}:{}", path_, lines));
}

void Settings::Supply(CLI::App& command, const std::string& path) {
  for (CLI::Option* option : command.get_options([](CLI::Option*) { return true; })) {
    if (!MayHold(*option)) continue;
    const std::string name = LongNameOf(*option), variable = VariableOf(name);
    if (!Variable(variable.c_str()).empty()) {
      origins_[name] = {variable, Variable(variable.c_str()), option};
    } else if (const auto found = FileValue(*option, path)) {
      // The parser takes what the command line lacks from the environment, so it is put there.
      setenv(variable.c_str(), found->first.c_str(), 1);
      origins_[name] = {found->second, found->first, option};
    } else {
      continue;
    }
    option->envname(variable);
    if (MayRepeat(*option) && option->get_delimiter() == '\0') option->delimiter('\n');
  }
}

bool Settings::Origin::IsInForce() const {
  std::string results;
  for (const std::string& result : option->results()) {
    results += (results.empty() ? "" : std::string(1, option->get_delimiter())) + result;
  }
  return results == value;
}

bool Settings::Origin::IsQuotedIn(const std::string& message) const {
  std::istringstream values(value);
  for (std::string one; std::getline(values, one);) {  // of an adapter the file, without its scale
    if (Quotes(message, one) || Quotes(message, one.substr(0, one.rfind('=')))) return true;
  }
  return false;
}

std::string Settings::OriginsIn(const std::string& message) const {
  std::string origins;
  for (const auto& [name, origin] : origins_) {
    if (!Mentions(message, name) && !origin.IsQuotedIn(message)) continue;
    if (!origin.IsInForce()) continue;
    origins += fmt::format("{}--{} is from {}", origins.empty() ? " (" : "; ", name, origin.place);
  }
  return origins.empty() ? "" : origins + ")";
}

}  // namespace cairn
