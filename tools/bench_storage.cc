#include "tools/bench_storage.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/byte_size.h"
#include "base/progress.h"
#include "bench/cold_bench.h"
#include "bench/open_bench.h"
#include "bench/process_usage.h"
#include "tools/bench_directory.h"
#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/print_json.h"

namespace cairn {
namespace {

constexpr size_t kPayloads[] = {8 * kKiB, 16 * kKiB, 32 * kKiB};

constexpr const char* kSize = "960MiB";
constexpr const char* kFullSize = "4GiB";
constexpr int64_t kTokens = 1'000'000;
constexpr int64_t kFullTokens = 10'000'000;
constexpr uint64_t kLeastSize = kMiB;

/// Bytes that must be free: each size has a store and a plain file, and then there is the session.
uint64_t NeededBytes(uint64_t size_bytes, int64_t tokens) {
  constexpr uint64_t kTokenBytes = 2300;  // of OpenBench's shape, with all that belongs to a token
  return std::max(size_bytes / 10 * 21, static_cast<uint64_t>(tokens) * kTokenBytes) + 640 * kMiB;
}

const char* NameOf(BlockReads reads) {
  switch (reads) {
    case BlockReads::kAuto:
      return "auto";
    case BlockReads::kThreads:
      return "threads";
  }
  return "unknown";
}

nlohmann::json ToJson(const ReadRow& row) {
  return {{"payload_bytes", row.payload_bytes},
          {"in_flight", row.in_flight},
          {"reads", NameOf(row.reads)},
          {"ratio_to_raw", row.ratio_to_raw},
          {"p99_ratio", row.p99_ratio},
          {"bytes_per_second", row.bytes_per_second},
          {"raw_bytes_per_second", row.raw_bytes_per_second},
          {"p99_ms", row.p99_ms},
          {"raw_p99_ms", row.raw_p99_ms},
          {"cpu_seconds_per_gb", row.cpu_seconds_per_gb},
          {"raw_cpu_seconds_per_gb", row.raw_cpu_seconds_per_gb},
          {"from_disk", row.from_disk}};
}

nlohmann::json ToJson(const IngestRow& row) {
  nlohmann::json json{{"payload_bytes", row.payload_bytes},
                      {"ratio_to_raw", row.ratio_to_raw},
                      {"write_amplification", nullptr},
                      {"cpu_seconds_per_gb", row.cpu_seconds_per_gb},
                      {"bytes_per_second", row.bytes_per_second},
                      {"raw_bytes_per_second", row.raw_bytes_per_second},
                      {"longest_commit_seconds", row.longest_commit_seconds},
                      {"step_bytes", row.step_bytes},
                      {"total_bytes", row.payload_total_bytes},
                      {"files", row.files}};
  if (row.write_amplification) json["write_amplification"] = *row.write_amplification;
  return json;
}

/// One figure of all payload sizes: the median, and the worst of what has a limit.
nlohmann::json ToJson(const std::vector<ColdBenchResult>& cold) {
  std::vector<double> ratios, amplifications, cpu;
  nlohmann::json rows = nlohmann::json::array();
  for (const ColdBenchResult& result : cold) {
    ratios.push_back(result.ingest.ratio_to_raw);
    cpu.push_back(result.ingest.cpu_seconds_per_gb);
    if (result.ingest.write_amplification) {
      amplifications.push_back(*result.ingest.write_amplification);
    }
    rows.push_back(ToJson(result.ingest));
  }
  nlohmann::json json{{"ratio_to_raw", Median(ratios)},
                      {"write_amplification", nullptr},
                      {"cpu_seconds_per_gb", Median(cpu)},
                      {"payloads", std::move(rows)}};
  if (!amplifications.empty()) json["write_amplification"] = Quantile(amplifications, 1);
  return json;
}

nlohmann::json ToJson(const OpenBenchResult& open) {
  const SessionShape& shape = open.shape;
  return {{"share_of_payload_read", open.share},
          {"open_seconds", open.open_seconds},
          {"first_step_seconds", open.step_seconds},
          {"payload_read_seconds", open.payload_read_seconds},
          {"memory_bytes", open.memory_bytes},
          {"index_bytes", open.index_bytes},
          {"tokens", open.tokens},
          {"blocks_per_head", open.blocks_per_head},
          {"payload_bytes", open.payload_bytes},
          {"disk_bytes", open.disk_bytes},
          {"files", open.files},
          {"retrieve", open.retrieve},
          {"fetched_blocks", open.fetched_blocks},
          {"build_seconds", open.build_seconds},
          {"shape",
           {{"layers", shape.layers},
            {"query_heads", shape.query_heads},
            {"kv_heads", shape.kv_heads},
            {"head_dim", shape.block.head_dim},
            {"block_rows", shape.block.block_rows},
            {"kv_type", "f16"},
            {"mode", AttentionModeName(shape.mode)}}}};
}

void PrintReads(const std::vector<ColdBenchResult>& cold) {
  fmt::print("reads of 64 blocks from the store, beside plain reads of the same size\n");
  fmt::print("{:>8}  {:>9}  {:>7}  {:>6}  {:>9}  {:>9}  {:>8}  {:>8}  {:>9}\n", "payload",
             "in flight", "by", "ratio", "MB/s", "raw MB/s", "p99 ms", "p99 ratio", "CPU s/GB");
  for (const ColdBenchResult& result : cold) {
    for (const ReadRow& row : result.reads) {
      fmt::print(
          "{:>8}  {:>9}  {:>7}  {:>6.2f}  {:>9.0f}  {:>9.0f}  {:>8.2f}  {:>9.2f}  {:>8.2f}\n",
          FormatByteSize(row.payload_bytes), row.in_flight, NameOf(row.reads), row.ratio_to_raw,
          row.bytes_per_second / 1e6, row.raw_bytes_per_second / 1e6, row.p99_ms, row.p99_ratio,
          row.cpu_seconds_per_gb);
    }
  }
}

void PrintIngest(const std::vector<ColdBenchResult>& cold) {
  fmt::print("durable writes, beside plain writes with fsync\n");
  fmt::print("{:>8}  {:>6}  {:>9}  {:>9}  {:>13}  {:>8}  {:>6}\n", "payload", "ratio", "MB/s",
             "raw MB/s", "written/given", "CPU s/GB", "files");
  for (const ColdBenchResult& result : cold) {
    const IngestRow& row = result.ingest;
    fmt::print(
        "{:>8}  {:>6.2f}  {:>9.0f}  {:>9.0f}  {:>13}  {:>8.2f}  {:>6}\n",
        FormatByteSize(row.payload_bytes), row.ratio_to_raw, row.bytes_per_second / 1e6,
        row.raw_bytes_per_second / 1e6,
        row.write_amplification ? fmt::format("{:.3f}", *row.write_amplification) : "unknown",
        row.cpu_seconds_per_gb, row.files);
  }
}

void PrintOpen(const OpenBenchResult& open) {
  fmt::print(
      "a session of {} tokens ({} layers, {} KV heads, {} blocks each; {} in {} files)\n"
      "  opened in {:.3f} s, first decode step ({} blocks) in {:.3f} s: {:.1f} % of the {:.2f} s "
      "that reading the payload takes\n  memory {} of which {} are vectors to search\n",
      open.tokens, open.shape.layers, open.shape.kv_heads, open.blocks_per_head,
      FormatByteSize(open.payload_bytes), open.files, open.open_seconds, open.fetched_blocks,
      open.step_seconds, 100 * open.share, open.payload_read_seconds,
      FormatByteSize(open.memory_bytes), FormatByteSize(open.index_bytes));
}

class StorageBench final : public Command {
 public:
  CLI::App* Add(CLI::App& bench) override;
  Status Run() override;

 private:
  Status Report(const std::vector<ColdBenchResult>& cold, const OpenBenchResult& open) const;

  Flags flags_;
  std::optional<std::string> size_;
  std::optional<int64_t> tokens_;
  int turn_ms_ = 700;
  bool full_ = false;
  bool all_ways_ = false;
};

CLI::App* StorageBench::Add(CLI::App& bench) {
  CLI::App* command =
      bench.add_subcommand("storage", "Reads, writes and opening, beside what the disk does");
  command->add_option("--store", flags_.store, "A new or empty directory, on the disk to measure")
      ->required()
      ->type_name("DIR");
  command->add_option("--size", size_, "Blocks written and read, of each payload size (960MiB)")
      ->type_name("SIZE");
  command->add_option("--tokens", tokens_, "Length of the session that is opened (1000000)")
      ->type_name("N");
  command->add_option("--turn-ms", turn_ms_, "How long one side reads at a time (700)")
      ->type_name("N");
  command->add_flag("--full", full_, "4GiB of each size, and a session of 10,000,000 tokens");
  command->add_flag("--all-ways", all_ways_, "Read by threads too, to compare");
  flags_.AddOutput(*command);
  return command;
}

Status StorageBench::Run() {
  CAIRN_TRY(flags_.Apply());
  CAIRN_TRY(const uint64_t size_bytes, ParseByteSize(size_.value_or(full_ ? kFullSize : kSize)));
  const int64_t tokens = tokens_.value_or(full_ ? kFullTokens : kTokens);
  CAIRN_TRY(AtLeastOne("--tokens", tokens));
  CAIRN_TRY(AtLeastOne("--turn-ms", turn_ms_));
  if (size_bytes < kLeastSize) {
    return Fail(Errc::kInvalidArgument, "--size {} is too little to measure; use {} or more",
                FormatByteSize(size_bytes), FormatByteSize(kLeastSize));
  }
  CAIRN_TRY(const BenchDirectory directory,
            BenchDirectory::Open(flags_.store, NeededBytes(size_bytes, tokens)));
  std::vector<BlockReads> ways{BlockReads::kAuto};
  if (all_ways_) ways.push_back(BlockReads::kThreads);
  Progress progress(flags_.quiet);
  std::vector<ColdBenchResult> cold;
  for (const size_t payload_bytes : kPayloads) {
    ColdBenchOptions options;
    options.directory = directory.path();
    options.payload_bytes = payload_bytes;
    options.total_bytes = size_bytes;
    options.turn_seconds = 1e-3 * turn_ms_;
    CAIRN_TRY(ColdBenchResult result, RunColdBench(options, ways, [&](const std::string& what) {
                progress.Show(fmt::format("blocks of {}: {}", FormatByteSize(payload_bytes), what));
                return Interrupted();
              }));
    cold.push_back(std::move(result));
  }
  OpenBenchOptions options;
  options.directory = directory.path();
  options.tokens = tokens;
  CAIRN_TRY(const OpenBenchResult open, RunOpenBench(options, [&](const std::string& what) {
              progress.Show(what);
              return Interrupted();
            }));
  progress.Finish();
  return Report(cold, open);
}

Status StorageBench::Report(const std::vector<ColdBenchResult>& cold,
                            const OpenBenchResult& open) const {
  if (flags_.json) {
    nlohmann::json reads = nlohmann::json::array();
    for (const ColdBenchResult& result : cold) {
      for (const ReadRow& row : result.reads) reads.push_back(ToJson(row));
    }
    PrintJson(nlohmann::json{
        {"read", std::move(reads)}, {"ingest", ToJson(cold)}, {"open", ToJson(open)}});
    return Ok();
  }
  PrintReads(cold);
  PrintIngest(cold);
  PrintOpen(open);
  return Ok();
}

}  // namespace

std::unique_ptr<Command> MakeStorageBench() { return std::make_unique<StorageBench>(); }

}  // namespace cairn
