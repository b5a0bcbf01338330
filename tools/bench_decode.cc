#include "tools/bench_decode.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "base/byte_size.h"
#include "base/progress.h"
#include "bench/decode_bench.h"
#include "tools/device_shape_flags.h"
#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/print_json.h"

namespace cairn {
namespace {

Status ParseSize(const char* flag, const std::string& text, uint64_t* bytes) {
  if (text.empty()) return Ok();
  auto size = ParseByteSize(text);
  if (!size.has_value()) {
    return Fail(Errc::kInvalidArgument, "{}: {}", flag, size.error().message);
  }
  *bytes = size.value();
  if (*bytes > 0) return Ok();
  return Fail(Errc::kInvalidArgument, "{} {}: use more than nothing", flag, text);
}

class DecodeBenchCommand final : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand(
        "decode", "Answers of a whole model on a GPU behind a long past, with random weights");
    shape_.Add(*command, options_);
    AddNumber(*command, "--hidden", options_.hidden, "Numbers of a row between layers");
    AddNumber(*command, "--ffn", options_.ffn, "Numbers of a row within a layer");
    AddNumber(*command, "--vocab", options_.vocab, "Tokens that the model knows");
    AddNumber(*command, "--context", options_.context, "Rows that the model was trained on");
    command->add_option("--mode", mode_, "unmodified, or landmark: a row of each block is one")
        ->check(CLI::IsMember({"unmodified", "landmark"}))
        ->type_name("MODE")
        ->capture_default_str();
    AddNumber(*command, "--recent", options_.recent_tokens,
              "Tokens before a step that are always attended, with --mode unmodified");
    command->add_option("--index", index_, "Kind of index: auto or int8")
        ->type_name("KIND")
        ->capture_default_str();
    command
        ->add_option(
            "--aliased", options_.aliased,
            "Read nothing: a past of random landmarks, one of its own for every block, whose "
            "blocks share N payloads of each layer and KV head (0: read the past)")
        ->type_name("N")
        ->capture_default_str();
    AddNumber(*command, "--chunk", options_.chunk, "Rows that are read at once");
    AddNumber(*command, "--query-stride", options_.query_stride,
              "While reading, choices look at every n-th row");
    AddNumber(*command, "--read-seconds", options_.read_seconds,
              "Read no longer than that, and decode behind what was read; 0: no limit");
    AddNumber(*command, "--warm-up", options_.warm_up, "Tokens decoded before any is timed");
    AddNumber(*command, "--decode", options_.decode, "Tokens that are timed");
    command
        ->add_option("--repeat", options_.repeat,
                     "Share of the last row in each that is decoded; the rest is random")
        ->type_name("SHARE")
        ->capture_default_str();
    command
        ->add_option("--compute-memory", compute_memory_,
                     "Blocks on the device (default: a 25th of the past; with --aliased 4GiB at "
                     "most)")
        ->type_name("SIZE");
    command
        ->add_option("--host-memory", host_memory_,
                     "Blocks in page-locked memory (default: what the past takes; with --aliased "
                     "4GiB at most)")
        ->type_name("SIZE");
    command
        ->add_option("--device-limit", device_limit_,
                     "Refuse what would need more of the device besides weights (default: with "
                     "--aliased 16 GB, else nothing is refused)")
        ->type_name("SIZE");
    command
        ->add_option("--host-limit", host_limit_,
                     "Refuse what would need more of the host's memory (default: what is "
                     "available)")
        ->type_name("SIZE");
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    CAIRN_TRY(shape_.Read());
    CAIRN_TRY(options_.index, ParseIndexKind(index_));
    options_.mode = mode_ == "landmark" ? AttentionMode::kLandmark : AttentionMode::kUnmodified;
    CAIRN_TRY(ParseSize("--compute-memory", compute_memory_, &options_.compute_bytes));
    CAIRN_TRY(ParseSize("--host-memory", host_memory_, &options_.host_bytes));
    CAIRN_TRY(ParseSize("--device-limit", device_limit_, &options_.device_limit));
    CAIRN_TRY(ParseSize("--host-limit", host_limit_, &options_.host_limit));
    CAIRN_TRY(options_.device, shape_.Number());
    CAIRN_TRY(options_.Validate());
    CAIRN_TRY(const auto device, Device::Open(options_.device));
    Progress progress(flags_.quiet);
    return RunDecodeBench(
        *device, options_,
        [&](const std::string& what) {
          progress.Show(what);
          return Interrupted();
        },
        [&](const DecodeBenchResult& result) {
          progress.Finish();
          flags_.json ? PrintAsJson(*device, result) : Print(*device, result);
          (void)std::fflush(stdout);  // whoever ends the program now has it
        });
  }

 private:
  void PrintAsJson(const Device& device, const DecodeBenchResult& r) const {
    nlohmann::json json = ShapeJson(device, options_);
    json.update(nlohmann::json{{"weights", "random"},
                               {"hidden", options_.hidden},
                               {"ffn", options_.ffn},
                               {"vocab", options_.vocab},
                               {"context", options_.context},
                               {"mode", AttentionModeName(options_.mode)},
                               {"recent", options_.recent_tokens},
                               {"index", r.index},
                               {"aliased", options_.aliased},
                               {"chunk", options_.chunk},
                               {"query_stride", options_.query_stride},
                               {"warm_up", options_.warm_up},
                               {"decode", options_.decode},
                               {"repeat", options_.repeat},
                               {"past_tokens", r.past_tokens},
                               {"past_rows", r.past_rows},
                               {"blocks_per_head", r.blocks},
                               {"making_seconds", r.making_seconds},
                               {"drawing_seconds", r.drawing_seconds},
                               {"opening_seconds", r.opening_seconds},
                               {"read_tokens", r.read_tokens},
                               {"reading_seconds", r.reading_seconds},
                               {"reading_tokens_per_second", r.reading_tokens_per_second},
                               {"decode_seconds_p50", r.decode_seconds_p50},
                               {"decode_seconds_p90", r.decode_seconds_p90},
                               {"decode_seconds_p99", r.decode_seconds_p99},
                               {"decode_seconds_most", r.decode_seconds_most},
                               {"decode_tokens_per_second", r.decode_tokens_per_second},
                               {"waits_per_token", r.waits},
                               {"graph_launches_per_token", r.launches},
                               {"copied_bytes_per_token", r.copied_bytes},
                               {"chosen_blocks_per_token", r.chosen_blocks},
                               {"missed_blocks_per_token", r.missed_blocks},
                               {"chosen_hit_share", r.chosen_hit_share},
                               {"hit_share", r.hit_share},
                               {"payload_bytes", r.payload_bytes},
                               {"distinct_payload_bytes", r.distinct_bytes},
                               {"outside_share", r.outside_share},
                               {"weight_bytes", r.weight_bytes},
                               {"index_bytes", r.index_bytes},
                               {"compute_tier_bytes", r.compute_tier_bytes},
                               {"device_bytes", r.device_bytes},
                               {"besides_weights_bytes", r.besides_weights},
                               {"reckoned_besides_weights_bytes", r.reckoned.all()},
                               {"host_tier_bytes", r.host_tier_bytes},
                               {"host_bytes", r.host_bytes}});
    PrintJson(json);
  }

  void Print(const Device& device, const DecodeBenchResult& r) const {
    fmt::print("{}, {}: {} layers of {} ({}), {} KV heads of {} numbers, {} query heads each; {}\n",
               device.Name(), device.model(), options_.layers, options_.hidden, options_.ffn,
               options_.kv_heads, options_.block.head_dim, options_.group,
               AttentionModeName(options_.mode));
    fmt::print(
        "weights and rows are random; {} of a decoded row is the one before it, so that\n"
        "choices persist; blocks beyond the device are in the host's memory, none on a disk\n",
        options_.repeat);
    PrintPast(r);
    fmt::print("decoded     {} tokens, {:.1f} tokens/s; {} of {} blocks chosen per KV head\n",
               options_.decode, r.decode_tokens_per_second, options_.retrieve, r.blocks);
    fmt::print("a token     p50 {:.3f} ms, p90 {:.3f} ms, p99 {:.3f} ms, the longest {:.3f} ms\n",
               1e3 * r.decode_seconds_p50, 1e3 * r.decode_seconds_p90, 1e3 * r.decode_seconds_p99,
               1e3 * r.decode_seconds_most);
    fmt::print("            {:.2f} waits, {:.2f} launches of graphs, {} copied to the device\n",
               r.waits, r.launches, FormatByteSize(static_cast<uint64_t>(r.copied_bytes)));
    fmt::print("hits        {:.4f} of {:.0f} chosen blocks; {:.4f} with sinks and recent ones\n",
               r.chosen_hit_share, r.chosen_blocks, r.hit_share);
    fmt::print("blocks      {} of {}{}, {:.4f} of them outside the device\n",
               FormatByteSize(r.payload_bytes), DTypeName(options_.block.dtype),
               options_.aliased == 0
                   ? ""
                   : fmt::format(", aliased to {}", FormatByteSize(r.distinct_bytes)),
               r.outside_share);
    fmt::print("on device   {}: weights {}, blocks {}, index ({}) {}\n",
               FormatByteSize(r.device_bytes), FormatByteSize(r.weight_bytes),
               FormatByteSize(r.compute_tier_bytes), r.index, FormatByteSize(r.index_bytes));
    fmt::print("            {} besides weights, where {} were reckoned\n",
               FormatByteSize(r.besides_weights), FormatByteSize(r.reckoned.all()));
    fmt::print("on host     {}, of it blocks {}\n", FormatByteSize(r.host_bytes),
               FormatByteSize(r.host_tier_bytes));
  }

  void PrintPast(const DecodeBenchResult& r) const {
    if (options_.aliased == 0) {
      fmt::print("read        {} of {} tokens in {:.1f} s, {:.0f} tokens/s; 1 row of {} chose\n",
                 r.read_tokens, options_.tokens, r.reading_seconds, r.reading_tokens_per_second,
                 options_.query_stride);
      return;
    }
    fmt::print(
        "not read    {} tokens: random landmarks, one of its own for each of {} blocks, whose\n"
        "            payloads are aliased: {} for each layer and KV head; drawn in {:.1f} s,\n"
        "            opened in {:.1f} s\n",
        r.past_tokens, r.blocks, options_.aliased, r.drawing_seconds, r.opening_seconds);
  }

  DecodeBenchOptions options_;
  DeviceShapeFlags shape_;
  std::string mode_ = "unmodified";
  std::string index_ = "auto";
  std::string compute_memory_, host_memory_, device_limit_, host_limit_;
  Flags flags_;
};

}  // namespace

std::unique_ptr<Command> MakeDecodeBench() { return std::make_unique<DecodeBenchCommand>(); }

}  // namespace cairn
