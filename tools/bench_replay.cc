#include "tools/bench_replay.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/byte_size.h"
#include "storage/access_trace.h"
#include "tools/flags.h"
#include "tools/ladder_json.h"
#include "tools/ladder_text.h"
#include "tools/miss_curve.h"
#include "tools/print_json.h"
#include "tools/step_times.h"

namespace cairn {
namespace {

using nlohmann::json;

class ReplayBench final : public Command {
 public:
  CLI::App* Add(CLI::App& bench) override;
  Status Run() override;

 private:
  Result<json> Replay(const std::string& path, const StepEstimate* estimate) const;
  Result<json> OneSize(const CacheReplay& replay, const std::string& policy, uint64_t memory_bytes,
                       const StepEstimate* estimate) const;
  Result<json> HalfOf(const CacheReplay& replay, const json& first,
                      const StepEstimate& estimate) const;
  static void Print(const json& trace);

  Flags flags_;
  std::vector<std::string> traces_, memories_, policies_{"default"};
  std::string block_size_ = "16KiB", ladder_;
  uint64_t block_bytes_ = 0;
};

CLI::App* ReplayBench::Add(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand(
      "replay", "Recorded traces with other memory or another policy: hits, and time waited");
  command->add_option("--trace", traces_, "File that --trace wrote; may be repeated")
      ->required()
      ->type_name("FILE")
      ->allow_extra_args(false);
  command->add_option("--host-memory", memories_, "Memory for blocks in the host tier")
      ->required()
      ->type_name("SIZE[,SIZE...]")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--policy", policies_, "default, lru, clock, s3-fifo, optimum (default)")
      ->type_name("NAME[,NAME...]")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--block-size", block_size_, "Payload of a block of the trace (16KiB)")
      ->type_name("SIZE");
  command->add_option("--ladder", ladder_, "JSON of a ladder, to estimate what a step waits")
      ->type_name("FILE");
  flags_.AddOutput(*command);
  return command;
}

Result<json> ReplayBench::OneSize(const CacheReplay& replay, const std::string& policy,
                                  uint64_t memory_bytes, const StepEstimate* estimate) const {
  const uint32_t slots = HostSlots(memory_bytes, block_bytes_);
  if (slots <= replay.widest()) {
    return Fail(Errc::kInvalidArgument,
                "--host-memory {}: the trace wants {} blocks at once; give it {} or more",
                FormatByteSize(memory_bytes), replay.widest(),
                FormatByteSize(HostBytes(replay.widest() + 1, block_bytes_)));
  }
  CAIRN_TRY(const StepTimes times, TimeSteps(replay, policy, slots, estimate));
  const auto number = [](const std::optional<double>& ns) {
    return ns ? json(*ns) : json(nullptr);
  };
  return json{{"policy", policy},
              {"memory_bytes", memory_bytes},
              {"slots", times.slots},
              {"hit_ratio", times.hit_ratio},
              {"steps", times.steps},
              {"step_p50_ns", number(times.p50_ns)},
              {"step_p99_ns", number(times.p99_ns)}};
}

/// What memory would have halved the p99 of the first size and policy.
Result<json> ReplayBench::HalfOf(const CacheReplay& replay, const json& first,
                                 const StepEstimate& estimate) const {
  const double half = first.at("step_p99_ns").get<double>() / 2;
  CAIRN_TRY(const auto slots,
            SlotsForP99(replay, first.at("policy").get<std::string>(), estimate, half));
  json made{{"step_p99_ns", half}, {"memory_bytes", nullptr}};
  if (slots) made["memory_bytes"] = HostBytes(*slots, block_bytes_);
  return made;
}

Result<json> ReplayBench::Replay(const std::string& path, const StepEstimate* estimate) const {
  CAIRN_TRY(const AccessLog log, ReadAccessLog(path));
  const CacheReplay replay(log);
  if (replay.fetched() == 0) {
    return Fail(Errc::kInvalidArgument,
                "the trace {} fetches no blocks; record one of a session that is longer than its "
                "local rows",
                path);
  }
  json results = json::array();
  for (const std::string& policy : policies_) {
    for (const std::string& memory : memories_) {
      CAIRN_TRY(const uint64_t bytes, ParseByteSize(memory));
      CAIRN_TRY(auto one, OneSize(replay, policy, bytes, estimate));
      results.push_back(std::move(one));
    }
  }
  json trace{{"file", path},
             {"fetched_blocks", replay.fetched()},
             {"distinct_blocks", replay.blocks()},
             {"blocks_bytes", replay.blocks() * block_bytes_},
             {"results", results},
             {"half_p99", nullptr},
             {"miss_curve", MissCurveJson(path, replay)}};
  if (!results[0]["step_p99_ns"].is_null()) {
    CAIRN_TRY(trace["half_p99"], HalfOf(replay, results[0], *estimate));
  }
  return trace;
}

void ReplayBench::Print(const json& trace) {
  fmt::print("{}: {} blocks fetched, repeats within a fetch left out, {} distinct ({})\n",
             trace["file"].get<std::string>(), trace["fetched_blocks"].get<uint64_t>(),
             trace["distinct_blocks"].get<uint64_t>(),
             FormatByteSize(trace["blocks_bytes"].get<uint64_t>()));
  fmt::print("{:<8} {:>10} {:>8} {:>7} {:>7} {:>9} {:>9}\n", "policy", "memory", "slots", "hits",
             "steps", "step p50", "p99");
  for (const json& one : trace["results"]) {
    fmt::print("{:<8} {:>10} {:>8} {:>6.2f}% {:>7} {:>9} {:>9}\n", one["policy"].get<std::string>(),
               FormatByteSize(one["memory_bytes"].get<uint64_t>()), one["slots"].get<uint32_t>(),
               100 * one["hit_ratio"].get<double>(), one["steps"].get<uint64_t>(),
               FormatNs(one["step_p50_ns"]), FormatNs(one["step_p99_ns"]));
  }
  const json& half = trace["half_p99"];
  if (!half.is_null()) {
    const std::string memory = half["memory_bytes"].is_null()
                                   ? "no memory does it"
                                   : FormatByteSize(half["memory_bytes"].get<uint64_t>());
    fmt::print("half the first p99, {}: {}\n", FormatNs(half["step_p99_ns"]), memory);
  }
  fmt::print("share missed, by memory in percent of the distinct blocks\n{:>8}", "");
  for (const char* policy : PolicyNames()) fmt::print(" {:>8}", policy);
  fmt::print("\n");
  for (const json& point : trace["miss_curve"]["points"]) {
    fmt::print("{:>7.1f}%", point["percent"].get<double>());
    for (const char* policy : PolicyNames()) {
      fmt::print(" {:>7.2f}%", 100 * point["miss_ratio"][policy].get<double>());
    }
    fmt::print("\n");
  }
}

Status ReplayBench::Run() {
  CAIRN_TRY(flags_.Apply());
  CAIRN_TRY(block_bytes_, ParseByteSize(block_size_));
  if (block_bytes_ == 0 || block_bytes_ > kGiB) {
    return Fail(Errc::kInvalidArgument, "--block-size {}: use 1 byte to 1 GiB", block_size_);
  }
  std::optional<StepEstimate> estimate;
  if (!ladder_.empty()) {
    CAIRN_TRY(const json ladder, ReadLadder(ladder_));
    CAIRN_TRY(auto made, StepEstimate::FromLadder(ladder, block_bytes_));
    estimate.emplace(std::move(made));
  }
  json traces = json::array();
  for (const std::string& path : traces_) {
    CAIRN_TRY(auto trace, Replay(path, estimate ? &*estimate : nullptr));
    traces.push_back(std::move(trace));
  }
  if (flags_.json) {
    PrintJson(json{{"block_bytes", block_bytes_}, {"traces", std::move(traces)}});
    return Ok();
  }
  for (const json& trace : traces) Print(trace);
  if (!estimate) fmt::print("no --ladder, so nothing is said about time\n");
  return Ok();
}

}  // namespace

std::unique_ptr<Command> MakeReplayBench() { return std::make_unique<ReplayBench>(); }

}  // namespace cairn
