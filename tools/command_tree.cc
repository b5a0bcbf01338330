#include "tools/command_tree.h"

#include <algorithm>
#include <array>
#include <map>

namespace cairn {
namespace {

template <class App>
void Walk(App& app, const std::string& path, std::vector<CommandNode<App>>& found) {
  found.push_back({path, &app});
  for (App* child : app.get_subcommands([](App*) { return true; })) {
    Walk(*child, path.empty() ? child->get_name() : path + " " + child->get_name(), found);
  }
}

/// Options whose values are words; what each accepts is tested through the commands.
const std::map<std::string, std::vector<std::string>>& Choices() {
  static const std::map<std::string, std::vector<std::string>> choices{
      {"against", {"dense"}},
      {"attention", {"dense", "retrieval"}},
      {"filler", {"text", "paper"}},
      {"index", {"auto", "exact", "int8", "lists", "faiss"}},
      {"kinds", {"exact", "int8", "lists", "faiss"}},
      {"kv-type", {"f16", "f32", "q8"}},
      {"policy", {"default", "lru", "clock", "s3-fifo", "optimum"}},
      {"selection", {"per-token", "per-chunk", "per-token-shared-heads"}}};
  return choices;
}

template <size_t N>
bool IsOneOf(const std::string& name, const std::array<const char*, N>& names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

/// Of an argument by place. Where a session is made, its name is nothing to complete.
ValueKind ArgumentKind(const std::string& name) {
  constexpr std::array kSessions{"NAME", "SRC", "OLD", "A", "B"};
  constexpr std::array kFiles{"TEXT", "FILE", "CASES", "before", "after"};
  constexpr std::array kDirectories{"TARGET", "DIR"};
  if (IsOneOf(name, kSessions)) return ValueKind::kSession;
  if (IsOneOf(name, kFiles)) return ValueKind::kFile;
  if (IsOneOf(name, kDirectories)) return ValueKind::kDirectory;
  return ValueKind::kOther;
}

}  // namespace

std::vector<CommandNode<CLI::App>> CommandsOf(CLI::App& root) {
  std::vector<CommandNode<CLI::App>> found;
  Walk(root, "", found);
  return found;
}

std::vector<CommandNode<const CLI::App>> CommandsOf(const CLI::App& root) {
  std::vector<CommandNode<const CLI::App>> found;
  Walk(root, "", found);
  return found;
}

std::vector<const CLI::App*> ChildrenOf(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::vector<const CLI::Option*> NamedOptionsOf(const CLI::App& app) {
  return app.get_options([](const CLI::Option* option) { return !option->get_lnames().empty(); });
}

std::vector<const CLI::Option*> ArgumentsOf(const CLI::App& app) {
  return app.get_options([](const CLI::Option* option) { return option->get_positional(); });
}

std::string LongNameOf(const CLI::Option& option) {
  return option.get_lnames().empty() ? "" : option.get_lnames().front();
}

std::vector<std::string> ChoicesOf(const CLI::Option& option) {
  const auto found = Choices().find(LongNameOf(option));
  return found == Choices().end() ? std::vector<std::string>{} : found->second;
}

ValueKind ValueKindOf(const CLI::Option& option) {
  const std::string name = LongNameOf(option);
  if (name.empty()) return ArgumentKind(option.get_name(true, false));
  if (option.get_type_size() == 0) return ValueKind::kFlag;
  if (!ChoicesOf(option).empty()) return ValueKind::kChoice;
  if (name == "session") return ValueKind::kSession;
  const std::string type = option.get_type_name();
  if (type.find("DIR") != std::string::npos) return ValueKind::kDirectory;
  const bool file = type.find("FILE") != std::string::npos || type.ends_with(".json");
  return file ? ValueKind::kFile : ValueKind::kOther;
}

}  // namespace cairn
