#include "tools/bench_attention.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "base/progress.h"
#include "bench/attention_bench.h"
#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/print_json.h"

namespace cairn {
namespace {

constexpr int64_t kLeastTokens = 4096;

class AttentionBenchCommand final : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand(
        "attention", "Attention of a layer over a long session in memory, selection included");
    command->add_option("--tokens", options_.tokens, "Rows of the session")
        ->type_name("N")
        ->capture_default_str();
    command->add_option("--retrieve", options_.retrieve, "Blocks chosen per KV head")
        ->type_name("K")
        ->capture_default_str();
    command->add_option("--kv-type", kv_type_, "Stored keys and values, as for --kv-type elsewhere")
        ->type_name("TYPE")
        ->capture_default_str();
    command->add_option("--index", index_, "Kind of index, as for --index elsewhere")
        ->type_name("KIND")
        ->capture_default_str();
    command->add_option("--rounds", options_.rounds, "Of which medians are taken")
        ->type_name("N")
        ->capture_default_str();
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    CAIRN_TRY(options_.index, ParseIndexKind(index_));
    CAIRN_TRY(options_.kv_type, ParseKvType(kv_type_));
    CAIRN_TRY(AtLeastOne("--retrieve", options_.retrieve));
    CAIRN_TRY(AtLeastOne("--rounds", options_.rounds));
    if (options_.tokens < kLeastTokens) {
      return Fail(Errc::kInvalidArgument, "--tokens {} is too short to choose from; use {} or more",
                  options_.tokens, kLeastTokens);
    }
    Progress progress(flags_.quiet);
    CAIRN_TRY(const AttentionBenchResult result,
              RunAttentionBench(options_, [&](const std::string& what) {
                progress.Show(what);
                return Interrupted();
              }));
    progress.Finish();
    Report(result);
    return Ok();
  }

 private:
  void Report(const AttentionBenchResult& r) const {
    if (flags_.json) {
      PrintJson(nlohmann::json{{"tokens", r.tokens},
                               {"blocks_per_head", r.blocks_per_head},
                               {"query_heads", r.shape.query_heads},
                               {"kv_heads", r.shape.kv_heads},
                               {"head_dim", r.shape.block.head_dim},
                               {"block_rows", r.shape.block.block_rows},
                               {"kv_type", DTypeName(r.shape.block.dtype)},
                               {"retrieve", r.retrieve},
                               {"prefill_rows", r.prefill_rows},
                               {"index", r.index},
                               {"index_bytes", r.index_bytes},
                               {"decode_seconds", r.decode_seconds},
                               {"decode_read_bytes", r.read_bytes},
                               {"prefill_seconds", r.prefill_seconds},
                               {"kernel_bytes_per_second", r.kernel_bytes_per_second},
                               {"memory_bytes_per_second", r.memory_bytes_per_second},
                               {"kernel_share_of_memory", r.kernel_share}});
      return;
    }
    fmt::print("a layer over {} rows, {} of {} blocks chosen per KV head, all in memory\n",
               r.tokens, r.retrieve, r.blocks_per_head);
    fmt::print("decode, one row      {:8.3f} ms\n", 1e3 * r.decode_seconds);
    fmt::print("prefill, {} rows    {:8.3f} ms\n", r.prefill_rows, 1e3 * r.prefill_seconds);
    fmt::print("kernel over strewn blocks {:.1f} GB/s, memory read in order {:.1f} GB/s: {:.2f}\n",
               r.kernel_bytes_per_second / 1e9, r.memory_bytes_per_second / 1e9, r.kernel_share);
  }

  AttentionBenchOptions options_;
  std::string index_ = "auto";
  std::string kv_type_ = "f16";
  Flags flags_;
};

}  // namespace

std::unique_ptr<Command> MakeAttentionBench() { return std::make_unique<AttentionBenchCommand>(); }

}  // namespace cairn
