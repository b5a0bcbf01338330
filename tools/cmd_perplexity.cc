// cairn perplexity: how well a model predicts a text, in one pass from its first token.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/parallel.h"
#include "base/progress.h"
#include "model/activations.h"
#include "model/dense_attention.h"
#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/text_file.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

constexpr int64_t kLogitRows = 64;  // rows whose logits are held at once

class PerplexityCommand : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand(
        "perplexity", "Perplexity of a text: one pass, no windows, every token after the first");
    flags_.AddModel(*command, true);
    command->add_option("TEXT", text_path_, "Text file, or - for standard input")->required();
    command->add_option("--tokens", tokens_, "Score the first N tokens (default: all)")
        ->type_name("N");
    command->add_option("--attention", attention_, "dense or retrieval (default dense)")
        ->check(CLI::IsMember({"dense", "retrieval"}));
    command->add_flag("--per-token-nll", each_, "With --json: the loss of each token");
    flags_.AddShape(*command);
    flags_.AddRetrieval(*command);
    flags_.AddMemory(*command);
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    if (tokens_.has_value()) {
      CAIRN_TRY(AtLeastOne("--tokens", *tokens_));
      limit_ = *tokens_;
    }
    CAIRN_TRY(auto text, ReadText(text_path_));
    // A score per token is only a score if no row uses what later rows asked for.
    if (!flags_.selection.has_value()) flags_.selection = "per-token";
    if (attention_ == "retrieval") {
      CAIRN_TRY(auto workspace, Workspace::InMemory(flags_));
      return Score(workspace->model(), workspace->runner(), text);
    }
    CAIRN_TRY(auto model, flags_.OpenModel());
    CAIRN_TRY(auto profile, flags_.NewProfile(*model));
    CAIRN_TRY(model->LoadWeights());
    if (!flags_.quiet && (limit_ == 0 || limit_ > model->llama().config().context)) {
      fmt::print(stderr,
                 "note: beyond {} tokens the model was never trained on the distances that "
                 "dense attention spans\n",
                 model->llama().config().context);
    }
    DenseAttention dense(profile.Shape(model->llama().config(), model->landmark()));
    Runner runner(model->llama(), dense, model->landmark(), profile.chunk);
    return Score(*model, runner, text);
  }

 private:
  Status Score(LoadedModel& model, Runner& runner, const std::string& text) {
    const Tokenizer& tokenizer = model.tokenizer();
    std::vector<uint32_t> tokens;
    if (tokenizer.add_bos() && tokenizer.bos()) tokens.push_back(*tokenizer.bos());
    const auto encoded = tokenizer.Encode(text);
    tokens.insert(tokens.end(), encoded.begin(), encoded.end());
    if (limit_ > 0 && std::ssize(tokens) > limit_) tokens.resize(static_cast<size_t>(limit_));
    if (tokens.size() < 2) {
      return Fail(Errc::kInvalidArgument, "{} holds {} token; perplexity needs two", text_path_,
                  tokens.size());
    }
    const auto start = std::chrono::steady_clock::now();
    Progress progress(flags_.quiet);
    for (size_t done = 0; done + 1 < tokens.size();) {
      if (Interrupted()) return Fail(Errc::kInterrupted, "stopped after {} tokens", done);
      const std::span<const uint32_t> left(tokens.data() + done, tokens.size() - 1 - done);
      const int64_t count = runner.NextStep(left);
      CAIRN_TRY(runner.Step(left.first(static_cast<size_t>(count))));
      ScoreStep(model.llama(), runner, {tokens.data() + done + 1, static_cast<size_t>(count)});
      done += static_cast<size_t>(count);
      progress.Show(fmt::format("{} of {} tokens, perplexity so far {:.3f}", done, tokens.size(),
                                std::exp(sum_ / static_cast<double>(done))));
    }
    progress.Finish();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    Report(tokens.size(), elapsed.count());
    return Ok();
  }

  /// Adds −log p(next[i]) of every token of the last step.
  void ScoreStep(const Llama& model, const Runner& runner, std::span<const uint32_t> next) {
    const int64_t vocab = model.config().vocab, hidden = model.config().hidden;
    for (int64_t first = 0; first < std::ssize(next); first += kLogitRows) {
      const int64_t rows = std::min(kLogitRows, std::ssize(next) - first);
      rows_.resize(static_cast<size_t>(rows * hidden));
      logits_.resize(static_cast<size_t>(rows * vocab));
      std::vector<float> losses(static_cast<size_t>(rows));
      for (int64_t i = 0; i < rows; ++i) {
        std::copy_n(runner.row(first + i), hidden, rows_.data() + i * hidden);
      }
      model.Logits(rows_.data(), rows, logits_.data());
      ParallelFor(rows, [&](int64_t i) {
        const float* row = logits_.data() + i * vocab;
        losses[i] = LogSumExp(row, vocab) - row[next[first + i]];
      });
      for (const float loss : losses) sum_ += loss;
      if (each_) nlls_.insert(nlls_.end(), losses.begin(), losses.end());
    }
  }

  void Report(size_t tokens, double seconds) const {
    const double mean = sum_ / static_cast<double>(tokens - 1);
    if (!flags_.json) {
      fmt::print(
          "perplexity {:.4f} (mean nll {:.6f}) over {} tokens, {} attention, {:.0f} "
          "tokens/s\n",
          std::exp(mean), mean, tokens - 1, attention_, static_cast<double>(tokens) / seconds);
      return;
    }
    nlohmann::json json{
        {"tokens", tokens},        {"scored", tokens - 1},
        {"mean_nll", mean},        {"perplexity", std::exp(mean)},
        {"attention", attention_}, {"tokens_per_second", static_cast<double>(tokens) / seconds}};
    if (attention_ == "retrieval") json["selection"] = *flags_.selection;
    if (each_) json["nll"] = nlls_;
    fmt::print("{}\n", json.dump());
  }

  Flags flags_;
  std::string text_path_;
  std::string attention_ = "dense";
  std::optional<int64_t> tokens_;
  int64_t limit_ = 0;  // --tokens; 0: the whole text
  bool each_ = false;
  double sum_ = 0;
  std::vector<float> rows_, logits_, nlls_;
};

}  // namespace

std::unique_ptr<Command> MakePerplexityCommand() { return std::make_unique<PerplexityCommand>(); }

}  // namespace cairn
