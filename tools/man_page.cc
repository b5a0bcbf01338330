#include "tools/man_page.h"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>

#include "tools/command_tree.h"
#include "tools/commit.h"
#include "tools/examples.h"
#include "tools/settings.h"

namespace cairn {
namespace {

/// Text as roff takes it: nothing in it is an escape or a request.
std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    switch (c) {
      case '\\':
        escaped += "\\e";
        break;
      case '-':
        escaped += "\\-";
        break;
      case '~':
        escaped += "\\(ti";
        break;
      case '"':
        escaped += "\\(dq";
        break;
      case '`':
        escaped += "\\(ga";
        break;
      case '\'':
        escaped += "\\(aq";
        break;
      default:
        escaped += c;
    }
  }
  return escaped.starts_with('.') ? "\\&" + escaped : escaped;
}

std::string Upper(std::string text) {
  for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  return text;
}

std::string Heading(const char* macro, const std::string& text) {
  return fmt::format(".{} \"{}\"\n", macro, Escaped(text));
}

std::string Item(const std::string& name, const std::string& text) {
  return fmt::format(".TP\n{}\n{}\n", name, Escaped(text));
}

std::string Bold(const std::string& text) { return "\\fB" + Escaped(text) + "\\fR"; }
std::string Italic(const std::string& text) { return "\\fI" + Escaped(text) + "\\fR"; }

std::string OptionName(const CLI::Option& option) {
  std::string name;
  for (const std::string& letter : option.get_snames()) name += Bold("-" + letter) + ", ";
  name += Bold("--" + LongNameOf(option));
  std::string type = option.get_type_name();
  type = type.substr(0, type.find(':'));  // without what a check adds
  if (option.get_type_size() != 0) name += " " + Italic(type);
  return name;
}

std::string Synopsis(const std::string& path, const CLI::App& app) {
  std::string line = Bold("cairn" + (path.empty() ? "" : " " + path));
  if (!ChildrenOf(app).empty()) line += " " + Italic("COMMAND");
  for (const CLI::Option* option : NamedOptionsOf(app)) {
    if (option->get_required()) line += " " + OptionName(*option);
  }
  line += " [" + Italic("OPTIONS") + "]";
  for (const CLI::Option* argument : ArgumentsOf(app)) {
    const std::string name = Italic(argument->get_name(true, false));
    line += argument->get_required() ? " " + name : " [" + name + "]";
  }
  return line + "\n";
}

std::string Arguments(const CLI::App& app) {
  std::string text;
  for (const CLI::Option* argument : ArgumentsOf(app)) {
    text += Item(Italic(argument->get_name(true, false)), argument->get_description());
  }
  return text;
}

std::string Options(const CLI::App& app) {
  std::string text;
  for (const CLI::Option* option : NamedOptionsOf(app)) {
    text += Item(OptionName(*option),
                 option->get_description() + (option->get_required() ? " (required)" : ""));
  }
  return text;
}

/// `first`: what stands in front of them.
std::string ExampleLines(const std::string& path, const char* first) {
  std::string text;
  for (const auto& [what, line] : ExamplesOf(path)) {
    text += fmt::format("{}{}:\n.PP\n.nf\n.RS 4\n{}\n.RE\n.fi\n", text.empty() ? first : ".PP\n",
                        Escaped(what), Escaped(line));
  }
  return text;
}

std::string Title(const std::string& name) {
  return fmt::format(".TH \"{}\" 1 \"{}\" \"cairn {}\" \"cairn\"\n", Escaped(Upper(name)),
                     CAIRN_COMMIT_DATE, CAIRN_VERSION);
}

std::string ExitStatus() {
  return Heading("SH", "EXIT STATUS") + Item("0", "Done.") +
         Item("1", "It could not be done; the last line of stderr says why and what helps.") +
         Item("2", "The command line, a variable or the configuration file was wrong.") +
         Item("130", "Stopped by Ctrl-C (SIGINT) or SIGTERM; what was complete is kept.");
}

/// Of the settings, one of which stands for all.
std::string SettingsText() {
  return Heading("SH", "ENVIRONMENT") +
         Item(Bold(Settings::VariableOf("store")) + ", " +
                  Bold(Settings::VariableOf("host-memory")) + " ...",
              "Each option may be set by a variable with its name: CAIRN_, and the name in "
              "capitals with _ for -. Of a flag, the value is true or false; of an option that may "
              "be repeated, one value a line. An empty variable counts as none. What stands on the "
              "command line wins.") +
         Item(Bold("CAIRN_CONFIG"), "The configuration file, as --config.") +
         Heading("SH", "FILES") +
         Item(Italic("$XDG_CONFIG_HOME/cairn/config"),
              "The configuration file; ~/.config/cairn/config without that variable. A line "
              "NAME = VALUE sets the option of that name, for all commands that have it, or behind "
              "a line [COMMAND] for that command alone. Lines that begin with # are comments. The "
              "command line and the environment win.");
}

std::string RootPage(const CLI::App& root) {
  std::string text =
      Title("cairn") + Heading("SH", "NAME") + "cairn \\- a memory for attention\n" +
      Heading("SH", "SYNOPSIS") + Bold("cairn") + " " + Italic("COMMAND") + " [" +
      Italic("OPTIONS") + "]\n" + Heading("SH", "DESCRIPTION") +
      "A language model reads a text of any length; keys and values of its past are "
      "kept in blocks, in\nmemory and on disk, and each step attends to the few "
      "blocks that matter. A store is a directory, a\nsession in it one reader\\(aqs "
      "past. Results go to stdout, progress and reports to stderr.\n" +
      Heading("SH", "COMMANDS");
  for (const CLI::App* child : ChildrenOf(root)) {
    text += Item(fmt::format("\\fBcairn\\-{}\\fR(1)", child->get_name()), child->get_description());
  }
  return text + Heading("SH", "OPTIONS") + Options(root) + SettingsText() + ExitStatus() +
         Heading("SH", "EXAMPLES") + ExampleLines("", "");
}

std::string CommandPage(const CLI::App& command) {
  const std::string& name = command.get_name();
  const std::vector<const CLI::App*> children = ChildrenOf(command);
  std::string text = Title("cairn-" + name) + Heading("SH", "NAME") +
                     fmt::format("cairn\\-{} \\- {}\n", name, Escaped(command.get_description())) +
                     Heading("SH", "SYNOPSIS");
  if (children.empty()) text += Synopsis(name, command);
  for (const CLI::App* child : children) {
    text += (child == children.front() ? "" : ".br\n") +
            Synopsis(name + " " + child->get_name(), *child);
  }
  const std::string arguments = Arguments(command);
  if (!arguments.empty()) text += Heading("SH", "ARGUMENTS") + arguments;
  text += Heading("SH", "OPTIONS") + Options(command);
  if (!children.empty()) text += Heading("SH", "COMMANDS");
  for (const CLI::App* child : children) {
    const std::string path = name + " " + child->get_name();
    text += Heading("SS", "cairn " + path) + Escaped(child->get_description()) + ".\n" +
            Arguments(*child) + Options(*child) + ExampleLines(path, ".PP\n");
  }
  return text + ExitStatus() + Heading("SH", "EXAMPLES") + ExampleLines(name, "") +
         Heading("SH", "SEE ALSO") + ".BR cairn (1)\n";
}

}  // namespace

std::vector<ManPage> ManPages(const CLI::App& root) {
  std::vector<ManPage> pages{{"cairn.1", RootPage(root)}};
  for (const CLI::App* command : ChildrenOf(root)) {
    pages.push_back({"cairn-" + command->get_name() + ".1", CommandPage(*command)});
  }
  return pages;
}

}  // namespace cairn
