#include "tests/torture/command_killer.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kCallsUncounted = 200;  // of a command, where nobody may trace it
constexpr uint64_t kLastCalls = 40;

}  // namespace

CommandKills& CommandKills::operator+=(const CommandKills& other) {
  kills += other.kills;
  ended += other.ended;
  calls = std::max(calls, other.calls);
  done += other.done;
  return *this;
}

CommandKiller::CommandKiller(std::string path, uint64_t seed)
    : path_(std::move(path)),
      program_(fs::read_symlink("/proc/self/exe").parent_path() / "cairn"),
      random_(seed) {}

std::string CommandKiller::Output() const {
  std::ifstream file(output());
  return {std::istreambuf_iterator<char>(file), {}};
}

Result<CommandEnd> CommandKiller::Run(const std::vector<std::string>& arguments,
                                      uint64_t kill_before) {
  std::vector<std::string> command = {program_};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return RunTraced(command, output(), kill_before);
}

/// In a copy of all there is, which comes to its end: so that any of the calls can be the last.
Result<uint64_t> CommandKiller::CountCalls(std::vector<std::string> arguments) {
  const std::string trial = path_ + "-trial";
  fs::remove_all(trial);
  fs::copy(path_, trial, fs::copy_options::recursive);
  for (std::string& argument : arguments) {
    if (argument.starts_with(path_ + "/")) argument.replace(0, path_.size(), trial);
  }
  CAIRN_TRY(const CommandEnd end, Run(arguments, 0));
  fs::remove_all(trial);
  return end.calls == 0 ? kCallsUncounted : end.calls;
}

Status CommandKiller::CheckEnd(const CommandEnd& end, const std::vector<std::string>& arguments,
                               CommandKills& counts) const {
  ++(end.killed ? counts.kills : counts.ended);
  if (end.killed || end.exit_code == 0) return Ok();
  return Fail(Errc::kMismatch, "`cairn {}` ended with {}: {}", fmt::join(arguments, " "),
              end.exit_code, Output());
}

Result<CommandEnd> CommandKiller::Kill(const std::vector<std::string>& arguments,
                                       CommandKills& counts) {
  CAIRN_TRY(const uint64_t calls, CountCalls(arguments));
  counts.calls = std::max(counts.calls, calls);
  // Opening a store makes many calls; what a command does comes after it.
  const uint64_t last = std::min(calls, kLastCalls);
  const uint64_t before = random_() % 2 == 0 ? random_() % calls : calls - last + random_() % last;
  CAIRN_TRY(const CommandEnd end, Run(arguments, 1 + before));
  CAIRN_TRY(CheckEnd(end, arguments, counts));
  return end;
}

Status CommandKiller::RunToEnd(const std::vector<std::string>& arguments, CommandKills& counts) {
  CAIRN_TRY(const CommandEnd end, Run(arguments));
  return CheckEnd(end, arguments, counts);
}

Result<CommandEnd> CommandKiller::Run(const std::vector<std::string>& arguments) {
  return Run(arguments, 0);
}

}  // namespace cairn::test
