// cairn: a memory for attention, on the command line.
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/new_file.h"
#include "base/plain_text.h"
#include "base/tell.h"
#include "tools/command.h"
#include "tools/examples.h"
#include "tools/help_text.h"
#include "tools/interrupt.h"
#include "tools/own_commands.h"
#include "tools/settings.h"
#include "tools/version.h"

namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr int kStopped = 130;

/// A store of ten million tokens has hundreds of files, and stores from before segments, which
/// `upgrade` reads, thousands: as many as the system lets this process have.
void AllowManyFiles() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/// A stream that is closed would give its number to the next file that is opened, and what is
/// printed would go there. Opened so that its use is an error still.
void FillClosedStreams() {
  for (const int stream : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (fcntl(stream, F_GETFD) >= 0) continue;
    (void)!open("/dev/null", stream == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

void Say(const std::string& message) {
  std::fflush(stdout);
  cairn::Tell("cairn: {}\n", cairn::ForTerminal(message, cairn::Lines::kKeep));
}

int Say(const cairn::Error& error, const cairn::Settings& settings, int code) {
  Say(error.message + settings.OriginsIn(error.message));
  return code;
}

/// Ends a command that did what it should: 0 if all that it has printed could be written.
int Finished() {
  const int failed = std::fflush(stdout) == 0 ? 0 : errno;
  if (failed == 0 && std::ferror(stdout) == 0) return 0;
  Say(fmt::format("cannot write all of it to standard output{}{}; see where it goes",
                  failed == 0 ? "" : ": ", failed == 0 ? "" : std::strerror(failed)));
  return kFailed;
}

void AddVersion(CLI::App& app) {
  const std::string help = "With --version: as one JSON document";
  CLI::Option* json = app.add_flag("--json", help);
  json->needs(app.set_version_flag("--version", [json] {
    return json->count() > 0 ? cairn::VersionJson().dump() : cairn::VersionText();
  }));
}

/// Why a command line could not be parsed.
int Misused(const CLI::ParseError& error, const CLI::App& app, const cairn::Settings& settings,
            const char* first) {
  if (!settings.status()) return Say(settings.status().error(), settings, kUsage);
  const bool unknown = app.get_subcommands().empty() && first != nullptr && first[0] != '-';
  const std::string what = unknown ? fmt::format("there is no command '{}'", first) : error.what();
  return Say(cairn::Fail(cairn::Errc::kInvalidArgument, "{}; see `cairn --help`", what), settings,
             kUsage);
}

int RunCommands(int argc, char** argv) {
  CLI::App app("cairn: a memory for attention", "cairn");
  app.formatter_fn(cairn::HelpText);
  AddVersion(app);
  app.require_subcommand(1);
  std::vector<std::pair<CLI::App*, std::unique_ptr<cairn::Command>>> commands;
  for (auto make :
       {cairn::MakeIngestCommand,     cairn::MakeAskCommand,      cairn::MakeWhyCommand,
        cairn::MakeChatCommand,       cairn::MakeGenerateCommand, cairn::MakePerplexityCommand,
        cairn::MakeSessionsCommand,   cairn::MakeInspectCommand,  cairn::MakeVerifyCommand,
        cairn::MakeRepairCommand,     cairn::MakeBackupCommand,   cairn::MakeCompactCommand,
        cairn::MakeUpgradeCommand,    cairn::MakeConformCommand,  cairn::MakeEvalCommand,
        cairn::MakeBenchCommand,      cairn::MakeServeCommand,    cairn::MakeDoctorCommand,
        cairn::MakeCompletionCommand, cairn::MakeManCommand}) {
    auto command = make();
    CLI::App* added = command->Add(app);
    commands.emplace_back(added, std::move(command));
  }
  cairn::AddExamples(app);
  const cairn::Settings settings(app, argc, argv);
  try {  // CLI11 reports by exception; this is its adapter
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help, --version
      app.exit(error);
      std::cout.flush();
      return Finished();
    }
    return Misused(error, app, settings, argc > 1 ? argv[1] : nullptr);
  }
  if (!settings.status()) return Say(settings.status().error(), settings, kUsage);
  cairn::CatchInterrupts();
  cairn::NewFile::StopWaitingIf(cairn::Interrupted);
  AllowManyFiles();
  for (auto& [added, command] : commands) {
    if (!added->parsed()) continue;
    const cairn::Status status = command->Run();
    if (status.has_value()) continue;
    const bool stopped = status.error().code == cairn::Errc::kInterrupted;
    return Say(status.error(), settings, stopped ? kStopped : kFailed);
  }
  return Finished();
}

}  // namespace

int main(int argc, char** argv) {
  FillClosedStreams();
  try {  // the last resort: memory that could not be had, or a library's surprise
    return RunCommands(argc, argv);
  } catch (const std::bad_alloc&) {
    Say("out of memory; lower --host-memory or --chunk");
  } catch (const std::exception& error) {
    if (std::ferror(stdout) != 0) return Finished();  // printing throws what was met
    Say(error.what());
  }
  return kFailed;
}
