#include "tools/bench_recall.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include "base/new_file.h"
#include "base/progress.h"
#include "bench/recall_bench.h"
#include "bench/recording.h"
#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/memory_session.h"
#include "tools/planted_fact.h"
#include "tools/print_json.h"
#include "tools/recall_plot.h"
#include "tools/recall_text.h"
#include "tools/text_file.h"

namespace cairn {
namespace {

class RecallBench final : public Command {
 public:
  CLI::App* Add(CLI::App& bench) override;
  Status Run() override;

 private:
  Result<Recording> Record();
  Status Report(const Recording& recording, const std::vector<RecallRow>& rows) const;

  Flags flags_;
  RecallBenchOptions options_{.block_rows = {16, 32, 64, 128}, .budgets = {256, 512, 1024}};
  std::string text_path_, record_, recording_, plot_;
  int64_t tokens_ = 16'384;
  int64_t probes_ = 8;
  int planted_ = 0;
  std::vector<int32_t> layers_;
};

CLI::App* RecallBench::Add(CLI::App& bench) {
  CLI::App* command = bench.add_subcommand(
      "recall", "How much of attention's mass the chosen blocks catch, on queries of a real model");
  flags_.AddModel(*command, false);
  command->add_option("TEXT", text_path_, "Text file that is read")->type_name("FILE");
  command->add_option("--tokens", tokens_, "How much of it is read (16384)")->type_name("N");
  command->add_option("--probes", probes_, "Steps whose queries are kept, evenly spread (8)")
      ->type_name("N");
  command
      ->add_option("--planted", planted_,
                   "Hide so many pass keys in the text, ask for them at its end, and keep the "
                   "queries of questions and answers")
      ->type_name("N");
  command->add_option("--layers", layers_, "Layers that are looked at (default: all)")
      ->type_name("N[,N...]")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--record", record_, "Keep queries and keys in this file")->type_name("FILE");
  command->add_option("--recording", recording_, "Use such a file, without a model")
      ->type_name("FILE");
  command
      ->add_option("--sizes", options_.block_rows,
                   "Rows of a block, without landmarks (16,32,64,128)")
      ->type_name("N[,N...]")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--budgets", options_.budgets, "Tokens chosen per KV head (256,512,1024)")
      ->type_name("N[,N...]")
      ->delimiter(',')
      ->allow_extra_args(false);
  command->add_option("--rows", options_.sampled_rows, "Rows of each step that are judged (12)")
      ->type_name("N");
  command->add_option("--plot", plot_, "Write a picture of the second budget to this file")
      ->type_name("FILE.svg");
  flags_.AddShape(*command);
  flags_.AddRetrieval(*command);
  flags_.AddMemory(*command);
  flags_.AddOutput(*command);
  return command;
}

Result<Recording> RecallBench::Record() {
  CAIRN_TRY(auto text, ReadText(text_path_));
  CAIRN_TRY(auto model, flags_.OpenModel());
  CAIRN_TRY(auto profile, flags_.NewProfile(*model));
  CAIRN_TRY(auto options, flags_.ToSessionOptions(profile));
  CAIRN_TRY(auto engine_options, flags_.ToEngineOptions());
  CAIRN_TRY(model->LoadWeights(engine_options.device));
  RecallText made = PlainRecallText(*model, text, tokens_);
  if (planted_ > 0) {
    CAIRN_TRY(made, PlantedRecallText(*model, text, tokens_, planted_));
  }
  CAIRN_TRY(auto session, MemorySession::Make(*model, profile, options, engine_options));
  Recording recording;
  recording.shape = profile.Shape(model->llama().config(), model->landmark());
  recording.text = std::filesystem::path(text_path_).filename().string();
  recording.layers = layers_;
  if (layers_.empty()) {
    recording.layers.resize(static_cast<size_t>(recording.shape.layers));
    std::iota(recording.layers.begin(), recording.layers.end(), 0);
  }
  const int64_t steps = std::max<int64_t>(1, std::ssize(made.tokens) / profile.chunk);
  const int64_t every = planted_ > 0 ? 0 : std::max<int64_t>(1, steps / probes_);
  AttentionRecorder recorder(session->attention(), every, &recording);
  Runner runner(model->llama(), recorder, model->landmark(), profile.chunk);
  Progress progress(flags_.quiet);
  const auto asked_from = static_cast<size_t>(made.asked_from);
  for (size_t read = 0; read < made.tokens.size();) {
    if (Interrupted()) return Fail(Errc::kInterrupted, "stopped; nothing is reported");
    if (progress.Due()) {
      progress.Show(fmt::format("read {} of {} tokens", read, made.tokens.size()));
    }
    if (read == asked_from) recorder.KeepQueries();
    const std::span<const uint32_t> all = made.tokens;
    const auto rest = read < asked_from ? all.first(asked_from).subspan(read) : all.subspan(read);
    const auto step = static_cast<size_t>(runner.NextStep(rest));
    CAIRN_TRY(runner.Step(rest.first(step)));
    read += step;
  }
  progress.Finish();
  return recording;
}

Status RecallBench::Run() {
  CAIRN_TRY(flags_.Apply());
  CAIRN_TRY(NewFile::Check(plot_));
  CAIRN_TRY(NewFile::Check(record_));
  CAIRN_TRY(AtLeastOne("--tokens", tokens_));
  CAIRN_TRY(AtLeastOne("--probes", probes_));
  if (planted_ < 0 || planted_ > MostFacts(EvalTask::kPasskey)) {
    return Fail(Errc::kInvalidArgument, "--planted {}: use 0 to {}", planted_,
                MostFacts(EvalTask::kPasskey));
  }
  for (const int32_t size : options_.block_rows) CAIRN_TRY(AtLeastOne("--sizes", size));
  for (const int32_t budget : options_.budgets) CAIRN_TRY(AtLeastOne("--budgets", budget));
  if (options_.budgets.empty() || options_.sampled_rows < 2) {
    return Fail(Errc::kInvalidArgument, "give --budgets, and --rows of 2 or more");
  }
  if (recording_.empty() == (flags_.model.empty() || text_path_.empty())) {
    return Fail(Errc::kInvalidArgument, "give --model and a text, or --recording");
  }
  Recording recording;
  if (recording_.empty()) {
    CAIRN_TRY(recording, Record());
    if (!record_.empty()) CAIRN_TRY(recording.Save(record_));
  } else {
    CAIRN_TRY(recording, Recording::Load(recording_));
  }
  CAIRN_TRY(const auto rows, RunRecallBench(recording, options_));
  return Report(recording, rows);
}

nlohmann::json ToJson(const RecallRow& row) {
  return {{"block_rows", row.block_rows},
          {"stand_in", StandInName(row.stand_in)},
          {"vectors_per_block", row.floats},
          {"budget", row.budget},
          {"k", row.k},
          {"mass", row.mass},
          {"best_mass", row.best_mass},
          {"recall", row.recall},
          {"worst_layer", row.worst_layer},
          {"chunk_mass", row.chunk_mass},
          {"same_as_next", row.same_as_next},
          {"mass_if_kept", row.mass_if_kept},
          {"spread_mass", row.spread_mass},
          {"spread_target", row.spread_target}};
}

Status RecallBench::Report(const Recording& recording, const std::vector<RecallRow>& rows) const {
  if (!plot_.empty()) {
    const int32_t budget = options_.budgets[std::min<size_t>(1, options_.budgets.size() - 1)];
    std::vector<RecallRow> shown;
    for (const RecallRow& row : rows) {
      if (row.budget == budget) shown.push_back(row);
    }
    const std::string title =
        fmt::format("Mass caught of the best choice's, {} tokens chosen", budget);
    CAIRN_TRY(WriteNewFile(plot_, RecallPlotSvg(shown, title)));
  }
  if (flags_.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const RecallRow& row : rows) list.push_back(ToJson(row));
    PrintJson(nlohmann::json{{"text", recording.text},
                             {"rows_read", recording.rows},
                             {"layers", recording.layers.size()},
                             {"probes", recording.probes.size()},
                             {"rows", std::move(list)}});
    return Ok();
  }
  fmt::print("{} rows of {}, {} layers, {} steps looked at\n", recording.rows, recording.text,
             recording.layers.size(), recording.probes.size());
  fmt::print(
      "{:>5} {:>18} {:>7} {:>6} {:>4} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7} {:>7}\n",
      "rows", "stand-in", "vectors", "tokens", "k", "mass", "of best", "recall", "worst", "chunk",
      "same", "kept", "spread", "target");
  for (const RecallRow& row : rows) {
    fmt::print(
        "{:>5} {:>18} {:>7} {:>6} {:>4} {:>7.4f} {:>7.4f} {:>7.4f} {:>7.4f} {:>7.4f} {:>7.4f} "
        "{:>7.4f} {:>7.4f} {:>7.4f}\n",
        row.block_rows, StandInName(row.stand_in), row.floats, row.budget, row.k, row.mass,
        row.mass / row.best_mass, row.recall, row.worst_layer, row.chunk_mass / row.best_mass,
        row.same_as_next, row.mass_if_kept, row.spread_mass / row.best_mass, row.spread_target);
  }
  return Ok();
}

}  // namespace

std::unique_ptr<Command> MakeRecallBench() { return std::make_unique<RecallBench>(); }

}  // namespace cairn
