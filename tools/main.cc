// cairn: a memory for attention, on the command line.
#include <fmt/core.h>
#include <sys/resource.h>

#include <cstdio>
#include <exception>
#include <vector>

#include "base/plain_text.h"
#include "tools/command.h"
#include "tools/interrupt.h"

namespace {

constexpr int kFailed = 1;
constexpr int kUsage = 2;
constexpr int kStopped = 130;

/// A store of millions of tokens has thousands of files, and each stays open: as many as the system
/// lets this process have.
void AllowManyFiles() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)setrlimit(RLIMIT_NOFILE, &limit);
}

int Report(const cairn::Error& error) {
  std::fflush(stdout);
  fmt::print(stderr, "cairn: {}\n", cairn::ForTerminal(error.message, cairn::Lines::kKeep));
  return error.code == cairn::Errc::kInterrupted ? kStopped : kFailed;
}

int RunCommands(int argc, char** argv) {
  CLI::App app("cairn: a memory for attention", "cairn");
  app.set_version_flag("--version", "cairn " CAIRN_VERSION);
  app.require_subcommand(1);
  std::vector<std::pair<CLI::App*, std::unique_ptr<cairn::Command>>> commands;
  for (auto make : {cairn::MakeIngestCommand, cairn::MakeAskCommand, cairn::MakeWhyCommand,
                    cairn::MakeChatCommand, cairn::MakeGenerateCommand,
                    cairn::MakePerplexityCommand, cairn::MakeSessionsCommand,
                    cairn::MakeInspectCommand, cairn::MakeVerifyCommand, cairn::MakeRepairCommand,
                    cairn::MakeBackupCommand, cairn::MakeCompactCommand, cairn::MakeUpgradeCommand,
                    cairn::MakeConformCommand, cairn::MakeEvalCommand, cairn::MakeBenchCommand}) {
    auto command = make();
    CLI::App* added = command->Add(app);
    commands.emplace_back(added, std::move(command));
  }
  try {  // CLI11 reports by exception; this is its adapter
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    const bool unknown = app.get_subcommands().empty() && argc > 1 && argv[1][0] != '-';
    fmt::print(stderr, "cairn: {}; see `cairn --help`\n",
               cairn::ForTerminal(
                   unknown ? fmt::format("there is no command '{}'", argv[1]) : error.what(),
                   cairn::Lines::kKeep));
    return kUsage;
  }
  cairn::CatchInterrupts();
  AllowManyFiles();
  for (auto& [added, command] : commands) {
    if (!added->parsed()) continue;
    const cairn::Status status = command->Run();
    if (!status.has_value()) return Report(status.error());
  }
  return std::fflush(stdout) == 0 && std::ferror(stdout) == 0 ? 0 : kFailed;
}

}  // namespace

int main(int argc, char** argv) {
  try {  // the last resort: memory that could not be had, or a library's surprise
    return RunCommands(argc, argv);
  } catch (const std::bad_alloc&) {
    fmt::print(stderr, "cairn: out of memory; lower --host-memory or --chunk\n");
  } catch (const std::exception& error) {
    fmt::print(stderr, "cairn: {}\n", error.what());
  }
  return kFailed;
}
