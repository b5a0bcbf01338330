// cairn-torture: kills writers, cuts the power and damages files, over and over, and compares what
// is left with what was acknowledged. Prints a summary as JSON; ends with 1 at the first
// difference.
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <random>
#include <string>

#include "tests/support/power_cut_run.h"
#include "tests/support/scratch_directory.h"
#include "tests/torture/damage_run.h"
#include "tests/torture/kill_run.h"

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
    for (int round = 0; round < kRoundsOfAStore && Clock::now() < end; ++round) {
      const Status status = run.Round();
      if (status) continue;
      return Fail(status.error().code, "store {} round {}: {}", seed, round,
                  status.error().message);
    }
    counts += run.counts();
  } while (Clock::now() < end);
  return Ok();
}

int Torture(double minutes, uint64_t seed) {
  std::mt19937_64 random(seed);
  const auto start = Clock::now();
  const auto share =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(minutes * 60 / 3));
  KillCounts kills;
  PowerCutCounts cuts;
  DamageCounts damage;
  Status status = RunUntil<KillRun>(start + share, random, kills);
  if (status) status = RunUntil<PowerCutRun>(start + 2 * share, random, cuts);
  if (status) status = RunUntil<DamageRun>(start + 3 * share, random, damage);
  const std::chrono::duration<double> passed = Clock::now() - start;
  const nlohmann::ordered_json summary = {
      {"seed", seed},
      {"seconds", passed.count()},
      {"kills",
       {{"points", kills.kills},
        {"before_first_answer", kills.before_first_answer},
        {"acknowledged", kills.acknowledged},
        {"in_flight_whole", kills.whole},
        {"in_flight_undone", kills.undone}}},
      {"power_cuts",
       {{"points", cuts.cuts},
        {"and_kills", cuts.kills},
        {"in_opening", cuts.in_opening},
        {"acknowledged", cuts.acknowledged},
        {"in_flight_whole", cuts.whole},
        {"in_flight_undone", cuts.undone}}},
      {"damage",
       {{"stores", damage.damaged},
        {"detected", damage.detected},
        {"harmless", damage.harmless},
        {"ended_in_an_assertion", damage.ended}}},
      {"difference", status ? std::string() : status.error().message}};
  std::printf("%s\n", summary.dump(2).c_str());
  return status ? 0 : 1;
}

int Main(int argc, char** argv) {
  CLI::App app("Kills writers, cuts the power, damages files, and compares what is left.",
               "cairn-torture");
  double minutes = 1;
  uint64_t seed = 1;
  std::string writer, examined, notes;
  app.add_option("--minutes", minutes, "How long")->capture_default_str();
  app.add_option("--seed", seed, "Of all that is random")->capture_default_str();
  app.add_option("--writer", writer)->group("");  // the store that this process writes
  app.add_option("--examine", examined)->group("");
  app.add_option("--notes", notes)->group("");
  CLI11_PARSE(app, argc, argv);
  if (!examined.empty()) return Examine(examined, notes);
  if (writer.empty()) return Torture(minutes, seed);
  const Status status = WriteUntilKilled(writer, notes, seed);
  std::fprintf(stderr, "writer: %s\n", status.error().message.c_str());
  return 3;
}

}  // namespace
}  // namespace cairn::test

int main(int argc, char** argv) { return cairn::test::Main(argc, argv); }
