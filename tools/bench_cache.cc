#include "tools/bench_cache.h"

#include <fmt/core.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "storage/access_trace.h"
#include "tools/cache_policy.h"
#include "tools/cache_replay.h"
#include "tools/flags.h"
#include "tools/print_json.h"
#include "tools/table_rate.h"

namespace cairn {
namespace {

constexpr int kRepeats = 5;
constexpr uint32_t kTableSlots[] = {1u << 15, 1u << 20};  // 512 MiB and 16 GiB of 16 KiB blocks

struct PolicyResult {
  const char* name;
  double hit_ratio;
};

struct CapacityResult {
  double percent = 0;
  uint32_t slots = 0;
  std::vector<PolicyResult> policies{};  ///< the default first, the optimum last

  /// Points of the hit ratio, 0 to 1, between the default and the optimum.
  double below_optimum() const { return policies.back().hit_ratio - policies.front().hit_ratio; }
};

CapacityResult Measure(const CacheReplay& replay, double percent) {
  CapacityResult result;
  result.percent = percent;
  // A tier too small for one access is refused at open.
  const auto share = static_cast<uint32_t>(percent / 100 * replay.blocks());
  const uint32_t slots = std::max(share, replay.widest() + 1);
  result.slots = slots;
  const uint32_t blocks = replay.blocks();
  const auto run = [&](const char* name, std::unique_ptr<CachePolicy> policy) {
    result.policies.push_back({name, replay.HitRatio(*policy)});
  };
  run("default", MakeTablePolicy(slots, replay.ids()));
  run("lru", MakeLru(slots, blocks));
  run("clock", MakeClock(slots, blocks));
  run("s3-fifo", MakeS3Fifo(slots, blocks));
  run("optimum", MakeOptimum(slots, blocks, replay.events()));
  return result;
}

nlohmann::json ToJson(const CapacityResult& result) {
  nlohmann::json ratios = nlohmann::json::object();
  for (const PolicyResult& policy : result.policies) ratios[policy.name] = policy.hit_ratio;
  return {{"percent", result.percent},
          {"slots", result.slots},
          {"hit_ratio", ratios},
          {"below_optimum", result.below_optimum()}};
}

class CacheBench final : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command =
        app.add_subcommand("cache", "Hit ratios of policies on traces; speed of the block table");
    command->add_option("--trace", traces_, "File that --trace wrote; may be repeated")
        ->type_name("FILE")
        ->allow_extra_args(false);
    command
        ->add_option("--capacity", capacities_,
                     "Memory in percent of the distinct blocks (default 5,10,20)")
        ->type_name("P[,P...]")
        ->delimiter(',')
        ->allow_extra_args(false);
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    for (const double percent : capacities_) {
      if (percent > 0 && percent <= 100) continue;
      return Fail(Errc::kInvalidArgument, "--capacity {}: use more than 0 and at most 100",
                  percent);
    }
    nlohmann::json traces = nlohmann::json::array();
    for (const std::string& path : traces_) {
      CAIRN_TRY(auto trace, Replay(path));
      traces.push_back(std::move(trace));
    }
    nlohmann::json tables = Tables();
    if (flags_.json) {
      PrintJson(nlohmann::json{{"traces", traces}, {"table", tables}});
    }
    return Ok();
  }

 private:
  Result<nlohmann::json> Replay(const std::string& path) const {
    CAIRN_TRY(const AccessLog log, ReadAccessLog(path));
    const CacheReplay replay(log);
    if (replay.fetched() == 0) {
      return Fail(Errc::kInvalidArgument,
                  "the trace {} fetches no blocks; record one of a session that is longer than "
                  "its local rows",
                  path);
    }
    nlohmann::json capacities = nlohmann::json::array();
    if (!flags_.json) {
      fmt::print("{}: {} blocks fetched, repeats within a fetch left out, {} distinct\n", path,
                 replay.fetched(), replay.blocks());
    }
    for (const double percent : capacities_) {
      const CapacityResult result = Measure(replay, percent);
      if (!flags_.json) Print(result);
      capacities.push_back(ToJson(result));
    }
    return nlohmann::json{{"file", path},
                          {"fetched_blocks", replay.fetched()},
                          {"distinct_blocks", replay.blocks()},
                          {"capacities", std::move(capacities)}};
  }

  static void Print(const CapacityResult& result) {
    fmt::print("{:>5.3g} % {:>8} slots ", result.percent, result.slots);
    for (const PolicyResult& policy : result.policies) {
      fmt::print("  {} {:.2f} %", policy.name, 100 * policy.hit_ratio);
    }
    fmt::print("  below the optimum {:.2f}\n", 100 * result.below_optimum());
    std::fflush(stdout);
  }

  nlohmann::json Tables() const {
    nlohmann::json tables = nlohmann::json::array();
    for (const uint32_t slots : kTableSlots) {
      const TableRate rate = MeasureTable(slots, kRepeats);
      if (!flags_.json) {
        fmt::print(
            "table of {} slots, millions a second: {:.1f} look-ups, {:.1f} of absent "
            "blocks, {:.1f} insertions with eviction\n",
            slots, rate.lookups / 1e6, rate.misses / 1e6, rate.insertions / 1e6);
      }
      tables.push_back({{"slots", slots},
                        {"lookups_per_second", rate.lookups},
                        {"absent_lookups_per_second", rate.misses},
                        {"insertions_per_second", rate.insertions}});
    }
    return tables;
  }

  Flags flags_;
  std::vector<std::string> traces_;
  std::vector<double> capacities_ = {5, 10, 20};
};

}  // namespace

std::unique_ptr<Command> MakeCacheBench() { return std::make_unique<CacheBench>(); }

}  // namespace cairn
