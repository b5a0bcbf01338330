#include "tools/completion.h"

#include <fmt/core.h>

#include <map>
#include <set>
#include <vector>

#include "tools/command_tree.h"
#include "tools/completion_scripts.h"

namespace cairn {
namespace {

/// In single quotes, for bash and zsh.
std::string Quoted(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) quoted += c == '\'' ? "'\\''" : std::string(1, c);
  return quoted + "'";
}

std::string QuotedForFish(const std::string& text) {
  std::string quoted = "'";
  for (const char c : text) {
    quoted += c == '\'' || c == '\\' ? std::string("\\") + c : std::string(1, c);
  }
  return quoted + "'";
}

const char* KindName(ValueKind kind) {
  switch (kind) {
    case ValueKind::kFile:
      return "file";
    case ValueKind::kDirectory:
      return "directory";
    case ValueKind::kSession:
      return "session";
    default:
      return "none";
  }
}

/// What the arguments by place of a command may be, each kind once.
std::string ArgumentKinds(const CLI::App& app) {
  std::set<std::string> kinds;
  for (const CLI::Option* argument : ArgumentsOf(app))
    kinds.insert(KindName(ValueKindOf(*argument)));
  kinds.erase("none");
  std::string joined;
  for (const std::string& kind : kinds) joined += (joined.empty() ? "" : " ") + kind;
  return joined;
}

std::string Words(const std::vector<std::string>& words) {
  std::string joined;
  for (const std::string& word : words) joined += (joined.empty() ? "" : " ") + word;
  return joined;
}

/// Branches that lead from a command and a word to the command below it.
std::string Edges(const CLI::App& root, const char* branch) {
  std::string edges;
  for (const auto& [path, app] : CommandsOf(root)) {
    for (const CLI::App* child : ChildrenOf(*app)) {
      const std::string below = path.empty() ? child->get_name() : path + " " + child->get_name();
      edges +=
          fmt::format(fmt::runtime(branch), Quoted(path + " " + child->get_name()), Quoted(below));
    }
  }
  return edges;
}

/// Branches that say what the value of an option is: it is the same in all commands.
std::string ValueBranches(const CLI::App& root) {
  std::map<std::string, std::string> kinds;  // of --option
  for (const auto& [path, app] : CommandsOf(root)) {
    for (const CLI::Option* option : NamedOptionsOf(*app)) {
      const ValueKind kind = ValueKindOf(*option);
      if (kind == ValueKind::kFlag) continue;
      const std::string choices = Words(ChoicesOf(*option));
      kinds.emplace("--" + LongNameOf(*option), choices.empty() ? KindName(kind) : "=" + choices);
    }
  }
  std::map<std::string, std::string> options;  // of a kind
  for (const auto& [option, kind] : kinds) {
    options[kind] += (options[kind].empty() ? "" : "|") + option;
  }
  std::string branches;
  for (const auto& [kind, names] : options) {
    branches += kind.starts_with("=")
                    ? fmt::format("    {}) kinds=words list={} ;;\n", names, Quoted(kind.substr(1)))
                    : fmt::format("    {}) kinds={} ;;\n", names, kind);
  }
  return branches;
}

std::string Described(const std::string& name, const std::string& help, bool described) {
  if (!described) return name;
  std::string text = name + ":" + help;
  for (size_t at = name.size() + 1; (at = text.find(':', at)) != std::string::npos; at += 2) {
    text.insert(at, "\\");
  }
  return Quoted(text);
}

/// Branches that say what may stand in a command: commands below, options, kinds of arguments.
/// `described`: each name with its help, as zsh shows it.
std::string CommandBranches(const CLI::App& root, bool described) {
  std::string branches;
  for (const auto& [path, app] : CommandsOf(root)) {
    std::vector<std::string> commands, options;
    for (const CLI::App* child : ChildrenOf(*app)) {
      commands.push_back(Described(child->get_name(), child->get_description(), described));
    }
    for (const CLI::Option* option : NamedOptionsOf(*app)) {
      options.push_back(
          Described("--" + LongNameOf(*option), option->get_description(), described));
    }
    branches +=
        fmt::format("    {})\n      commands=({})\n      options=({})\n      places={} ;;\n",
                    Quoted(path), Words(commands), Words(options), Quoted(ArgumentKinds(*app)));
  }
  return branches;
}

std::string FishOption(const CLI::Option& option, const std::string& condition) {
  std::string line =
      fmt::format("complete -c cairn -n {} -l {}", QuotedForFish(condition), LongNameOf(option));
  const std::string choices = Words(ChoicesOf(option));
  switch (ValueKindOf(option)) {
    case ValueKind::kFlag:
      break;
    case ValueKind::kFile:
      line += " -r -F";
      break;
    case ValueKind::kDirectory:
      line += " -x -a '(__fish_complete_directories (commandline -ct))'";
      break;
    case ValueKind::kSession:
      line += " -x -a '(__cairn_sessions)'";
      break;
    case ValueKind::kChoice:
      line += " -x -a " + QuotedForFish(choices);
      break;
    default:
      line += " -x";
  }
  return line + " -d " + QuotedForFish(option.get_description()) + "\n";
}

std::string FishLines(const CLI::App& root) {
  std::string lines;
  for (const auto& [path, app] : CommandsOf(root)) {
    const std::string condition = path.empty() ? "__cairn_is" : "__cairn_is " + path;
    for (const CLI::App* child : ChildrenOf(*app)) {
      lines += fmt::format("complete -c cairn -n {} -a {} -d {}\n", QuotedForFish(condition),
                           child->get_name(), QuotedForFish(child->get_description()));
    }
    for (const CLI::Option* option : NamedOptionsOf(*app)) lines += FishOption(*option, condition);
    const std::string kinds = ArgumentKinds(*app);
    const auto argument = [&](const char* kind, const char* what) {
      if (kinds.find(kind) == std::string::npos) return;
      lines += fmt::format("complete -c cairn -n {} {}\n", QuotedForFish(condition), what);
    };
    argument("file", "-F");
    argument("directory", "-a '(__fish_complete_directories (commandline -ct))'");
    argument("session", "-a '(__cairn_sessions)'");
  }
  return lines;
}

/// `text` with what stands for %NAME% put in.
std::string Filled(std::string text, const std::map<std::string, std::string>& values) {
  for (const auto& [name, value] : values) {
    const std::string mark = "%" + name + "%\n";
    const size_t at = text.find(mark);
    if (at != std::string::npos) text.replace(at, mark.size(), value);
  }
  return text;
}

}  // namespace

Result<std::string> CompletionScript(const CLI::App& root, const std::string& shell) {
  constexpr const char* kEdge = "      {}) command={} ;;\n";
  if (shell == "fish") {
    return Filled(kFishScript, {{"EDGES", Edges(root, "      case {}\n        set command {}\n")},
                                {"LINES", FishLines(root)}});
  }
  if (shell == "bash" || shell == "zsh") {
    const bool zsh = shell == "zsh";
    return Filled(zsh ? kZshScript : kBashScript, {{"EDGES", Edges(root, kEdge)},
                                                   {"VALUES", ValueBranches(root)},
                                                   {"COMMANDS", CommandBranches(root, zsh)}});
  }
  return Fail(Errc::kInvalidArgument, "'{}' is no shell that cairn knows; use bash, zsh or fish",
              shell);
}

}  // namespace cairn
