// cairn-torture: kills writers and commands, cuts the power, damages files and lets threads work on
// many sessions, over and over, and compares what is left with what was acknowledged. Prints a
// summary as JSON; ends with 1 at the first difference.
#include <stdlib.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "tests/support/power_cut_run.h"
#include "tests/support/scratch_directory.h"
#include "tests/torture/command_run.h"
#include "tests/torture/crowd_run.h"
#include "tests/torture/damage_run.h"
#include "tests/torture/kill_run.h"
#include "tests/torture/recompute_run.h"
#include "tests/torture/soak_run.h"

namespace cairn::test {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kRoundsOfAStore = 25;

/// Runs rounds on one new store after another until `end`.
template <class Run, class Counts>
Status RunUntil(Clock::time_point end, std::mt19937_64& random, Counts& counts) {
  do {
    const ScratchDirectory directory;
    const uint64_t seed = random();
    Run run(directory.File("run"), seed);
    Status status = Ok();
    int round = 0;
    for (; status && round < kRoundsOfAStore && Clock::now() < end; ++round) status = run.Round();
    counts += run.counts();
    if (status) continue;
    return Fail(status.error().code, "store {} round {}: {}", seed, round, status.error().message);
  } while (Clock::now() < end);
  return Ok();
}

nlohmann::ordered_json ToJson(const KillCounts& kills) {
  return {{"points", kills.kills},
          {"before_first_answer", kills.before_first_answer},
          {"acknowledged", kills.acknowledged},
          {"in_flight_whole", kills.whole},
          {"in_flight_undone", kills.undone}};
}

nlohmann::ordered_json ToJson(const PowerCutCounts& cuts) {
  return {{"points", cuts.cuts},           {"and_kills", cuts.kills},
          {"in_opening", cuts.in_opening}, {"acknowledged", cuts.acknowledged},
          {"in_flight_whole", cuts.whole}, {"in_flight_undone", cuts.undone}};
}

nlohmann::ordered_json ToJson(const DamageCounts& damage) {
  nlohmann::ordered_json kinds;
  for (int kind = 0; kind < kDamageKinds; ++kind) {
    kinds[DamageName(DamageKind(kind))] = damage.kinds[static_cast<size_t>(kind)];
  }
  return {{"damaged", damage.damaged},
          {"detected", damage.detected},
          {"harmless", damage.harmless},
          {"ended_in_an_assertion", damage.ended},
          {"kinds", kinds},
          {"open_store",
           {{"damaged", damage.open.damaged},
            {"detected", damage.open.detected},
            {"harmless", damage.open.harmless}}}};
}

nlohmann::ordered_json ToJson(const CommandKills& command) {
  return {{"kills", command.kills},
          {"found_done", command.done},
          {"ended", command.ended},
          {"most_calls", command.calls}};
}

nlohmann::ordered_json ToJson(const CommandCounts& commands) {
  nlohmann::ordered_json kinds;
  uint64_t kills = 0;
  for (size_t i = 0; i < commands.of.size(); ++i) {
    kills += commands.of[i].kills;
    kinds[CommandName(CommandKind(i))] = ToJson(commands.of[i]);
  }
  return {{"points", kills}, {"of", kinds}};
}

nlohmann::ordered_json ToJson(const CrowdTotals& crowd) {
  return {{"steps", crowd.steps}, {"commits", crowd.commits}, {"opened", crowd.opened},
          {"forks", crowd.forks}, {"renamed", crowd.renamed}, {"deleted", crowd.deleted},
          {"moved", crowd.moved}, {"checked", crowd.checked}};
}

constexpr const char* kPhases[] = {"kills",      "commands", "recomputations",
                                   "power_cuts", "damage",   "crowd"};

/// Of the phases, in order, each for its share of the time; `only` one if it is not empty.
int Torture(double minutes, uint64_t seed, const std::string& only) {
  std::mt19937_64 random(seed);
  const auto start = Clock::now();
  const double shares = only.empty() ? std::size(kPhases) : 1;
  const auto share = std::chrono::duration_cast<Clock::duration>(
      std::chrono::duration<double>(minutes * 60 / shares));
  nlohmann::ordered_json summary = {{"seed", seed}};
  Status status = Ok();
  const auto run = [&]<class Run, class Counts>(const char* phase, Counts counts,
                                                std::type_identity<Run>) {
    if (!status || !(only.empty() || only == phase)) return;
    status = RunUntil<Run>(Clock::now() + share, random, counts);
    summary[phase] = ToJson(counts);
  };
  run(kPhases[0], KillCounts(), std::type_identity<KillRun>());
  run(kPhases[1], CommandCounts(), std::type_identity<CommandRun>());
  run(kPhases[2], CommandKills(), std::type_identity<RecomputeRun>());
  run(kPhases[3], PowerCutCounts(), std::type_identity<PowerCutRun>());
  run(kPhases[4], DamageCounts(), std::type_identity<DamageRun>());
  run(kPhases[5], CrowdTotals(), std::type_identity<CrowdRun>());
  summary["seconds"] = std::chrono::duration<double>(Clock::now() - start).count();
  summary["difference"] = status ? std::string() : status.error().message;
  std::printf("%s\n", summary.dump(2).c_str());
  return status ? 0 : 1;
}

int RunSoak(const SoakOptions& options) {
  SoakSummary summary;
  const Status status = Soak(options, &summary);
  const nlohmann::ordered_json report = {
      {"seed", options.seed},
      {"minutes", options.minutes},
      {"operations", summary.operations},
      {"reopened", summary.reopened},
      {"samples", summary.samples},
      {"rss_mib", {summary.rss_early, summary.rss_late}},
      {"open_files", {summary.files_early, summary.files_late}},
      {"store_mib", {summary.disk_early, summary.disk_late}},
      {"difference", status ? std::string() : status.error().message}};
  std::printf("%s\n", report.dump(2).c_str());
  return status ? 0 : 1;
}

/// The commands that are run are told all they need: no variable or file gives them options.
void LeaveSettingsOut() {
  std::vector<std::string> names;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string name(*entry, std::strcspn(*entry, "="));
    if (name.starts_with("CAIRN_") && !name.starts_with("CAIRN_TEST_")) names.push_back(name);
  }
  for (const std::string& name : names) unsetenv(name.c_str());
  setenv("CAIRN_CONFIG", "/dev/null", 1);
}

int Main(int argc, char** argv) {
  LeaveSettingsOut();
  CLI::App app("Kills writers, cuts the power, damages files, and compares what is left.",
               "cairn-torture");
  double minutes = 1;
  uint64_t seed = 1;
  bool soak = false;
  std::string only, csv, writer, examined, notes;
  app.add_option("--minutes", minutes, "How long")->capture_default_str();
  app.add_option("--seed", seed, "Of all that is random")->capture_default_str();
  app.add_option("--only", only,
                 "One kind: kills, commands, recomputations, power_cuts, damage or crowd")
      ->check(CLI::IsMember(std::vector<std::string>(std::begin(kPhases), std::end(kPhases))));
  app.add_flag("--soak", soak, "Random sessions under small limits in place of all that");
  app.add_option("--csv", csv, "A file for what the soak took over time")->needs("--soak");
  app.add_option("--writer", writer)->group("");  // the store that this process writes
  app.add_option("--examine", examined)->group("");
  app.add_option("--notes", notes)->group("");
  CLI11_PARSE(app, argc, argv);
  if (!examined.empty()) return ExamineDamaged(examined, seed);
  if (soak) return RunSoak({.minutes = minutes, .seed = seed, .csv = csv});
  if (writer.empty()) return Torture(minutes, seed, only);
  const Status status = WriteUntilKilled(writer, notes, seed);
  std::fprintf(stderr, "writer: %s\n", status.error().message.c_str());
  return 3;
}

}  // namespace
}  // namespace cairn::test

int main(int argc, char** argv) { return cairn::test::Main(argc, argv); }
