#include "tools/bench_compare.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "tools/flags.h"
#include "tools/ladder_compare.h"
#include "tools/ladder_json.h"
#include "tools/ladder_text.h"
#include "tools/print_json.h"

namespace cairn {
namespace {

/// Two ladders of one program on one machine: so many of a hundred figures would still differ.
constexpr double kChancePercent = 0.8;

nlohmann::json OrNull(const std::optional<double>& number) {
  return number ? nlohmann::json(*number) : nlohmann::json();
}

std::string FormatMetric(const LadderChange& change, double value) {
  if (change.metric == "bytes_per_second") return fmt::format("{:.0f} MB/s", value / 1e6);
  return FormatNs(value);
}

class CompareBench final : public Command {
 public:
  CLI::App* Add(CLI::App& bench) override {
    CLI::App* command =
        bench.add_subcommand("compare", "What changed from one ladder to another beyond noise");
    command->add_option("before", before_, "JSON of a ladder")->required()->type_name("A.json");
    command->add_option("after", after_, "JSON of a later one")->required()->type_name("B.json");
    command->add_option("--limit", limit_, "Percent that a figure may be worse by (10)")
        ->type_name("PERCENT");
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    if (!(limit_ >= 0)) {
      return Fail(Errc::kInvalidArgument, "--limit {}: use 0 or more percent", limit_);
    }
    CAIRN_TRY(const nlohmann::json before, ReadLadder(before_));
    CAIRN_TRY(const nlohmann::json after, ReadLadder(after_));
    const LadderComparison comparison = CompareLadders(before, after);
    if (comparison.compared == 0) {
      return Fail(Errc::kMismatch,
                  "nothing could be compared: no figure has an interval in both {} and {}; make "
                  "ladders of the same points, with --repetitions 5 or more",
                  before_, after_);
    }
    if (flags_.json) {
      PrintJson(ToJson(comparison));
    } else {
      Print(comparison);
    }
    const size_t regressions = comparison.Regressions(limit_);
    if (regressions == 0) return Ok();
    return Fail(Errc::kMismatch, "{} of {} figures are worse by more than {} % and beyond noise",
                regressions, comparison.compared, limit_);
  }

 private:
  nlohmann::json ToJson(const LadderComparison& comparison) const {
    nlohmann::json changes = nlohmann::json::array();
    for (const LadderChange& change : comparison.changes) {
      changes.push_back({{"point", change.point},
                         {"metric", change.metric},
                         {"before", change.before},
                         {"after", change.after},
                         {"percent", change.percent},
                         {"worse", change.worse}});
    }
    nlohmann::json settings = nlohmann::json::array();
    for (const LadderSetting& setting : comparison.other_settings) {
      settings.push_back(
          {{"name", setting.name}, {"before", setting.before}, {"after", setting.after}});
    }
    return {{"compared", comparison.compared},
            {"changes", std::move(changes)},
            {"limit_percent", limit_},
            {"regressions", comparison.Regressions(limit_)},
            {"only_before", comparison.only_before},
            {"only_after", comparison.only_after},
            {"other_rate", comparison.other_rate},
            {"other_together", comparison.other_together},
            {"speed_ratio", OrNull(comparison.speed_ratio)},
            {"memory_ratio", OrNull(comparison.memory_ratio)},
            {"other_machine", comparison.other_machine},
            {"other_settings", std::move(settings)}};
  }

  static void Print(const LadderComparison& comparison) {
    for (const LadderChange& change : comparison.changes) {
      fmt::print("{:<7} {:+8.1f} %  {:>10} -> {:>10}  {:<16} {}\n",
                 change.worse ? "worse" : "better", change.percent,
                 FormatMetric(change, change.before), FormatMetric(change, change.after),
                 change.metric, change.point);
    }
    fmt::print("{} of {} figures changed beyond noise; by chance about {:.0f} would\n",
               comparison.changes.size(), comparison.compared,
               kChancePercent / 100 * static_cast<double>(comparison.compared));
    for (const auto& [what, ratio] : {std::pair("a loop of arithmetic", comparison.speed_ratio),
                                      std::pair("reading memory", comparison.memory_ratio)}) {
      if (ratio) fmt::print("{} took {:.2f} times as long as before\n", what, *ratio);
    }
    for (const LadderSetting& setting : comparison.other_settings) {
      fmt::print("the ladders were made with other settings: {} {} -> {}\n", setting.name,
                 setting.before.dump(), setting.after.dump());
    }
    if (comparison.other_machine) fmt::print("the machines differ, or their systems do\n");
    if (!comparison.other_rate.empty()) {
      fmt::print(
          "{} open loops ran at other rates and were not compared; the later ladder with "
          "--rates A.json runs them at the same\n",
          comparison.other_rate.size());
    }
    if (!comparison.other_together.empty()) {
      fmt::print(
          "{} points were timed one by one in one ladder only; their times are not compared\n",
          comparison.other_together.size());
    }
    for (const auto& [which, names] : {std::pair("before", &comparison.only_before),
                                       std::pair("after", &comparison.only_after)}) {
      if (!names->empty())
        fmt::print("{} points are in the ladder {} only\n", names->size(), which);
    }
  }

  Flags flags_;
  std::string before_, after_;
  double limit_ = 10;
};

}  // namespace

std::unique_ptr<Command> MakeCompareBench() { return std::make_unique<CompareBench>(); }

}  // namespace cairn
