// cairn perplexity: how well a model predicts a text: in one pass from its first token, or the same
// tokens of windows in many settings.
#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "base/progress.h"
#include "base/tell.h"
#include "model/dense_attention.h"
#include "tools/command.h"
#include "tools/flags.h"
#include "tools/interrupt.h"
#include "tools/memory_session.h"
#include "tools/perplexity_grid.h"
#include "tools/print_json.h"
#include "tools/text_file.h"
#include "tools/token_scorer.h"

namespace cairn {
namespace {

class PerplexityCommand : public Command {
 public:
  CLI::App* Add(CLI::App& app) override {
    CLI::App* command = app.add_subcommand(
        "perplexity",
        "Perplexity of a text: one pass that scores every token after the first; or, with "
        "--context, windows in a grid of settings");
    flags_.AddModel(*command, true);
    command->add_option("TEXT", text_path_, "Text file, or - for standard input")->required();
    command->add_option("--tokens", tokens_, "Use only the first N tokens (default: all)")
        ->type_name("N");
    command
        ->add_option("--attention", attention_,
                     "dense or retrieval (default dense; retrieval with --context)")
        ->check(CLI::IsMember({"dense", "retrieval"}));
    command
        ->add_option("--context", contexts_,
                     "Tokens that are read up to the end of a window; --retrieve and --selection "
                     "may be lists then too")
        ->type_name("N[,N...]")
        ->delimiter(',')
        ->allow_extra_args(false);
    command->add_option("--windows", windows_, "Windows, spread over the text (default 10)")
        ->type_name("W");
    command->add_option("--targets", targets_, "Scored last tokens of a window (default 256)")
        ->type_name("T");
    command->add_flag("--per-token-nll", each_, "With --json: the loss of each token");
    flags_.AddShape(*command, &selections_);
    flags_.AddRetrieval(*command, &retrieve_);
    flags_.AddMemory(*command);
    flags_.AddOutput(*command);
    return command;
  }

  Status Run() override {
    CAIRN_TRY(flags_.Apply());
    if (tokens_.has_value()) CAIRN_TRY(AtLeastOne("--tokens", *tokens_));
    if (attention_.empty()) attention_ = contexts_.empty() ? "dense" : "retrieval";
    return contexts_.empty() ? RunPass() : RunGrid();
  }

 private:
  // One pass

  Status RunPass() {
    if (windows_.has_value() || targets_.has_value()) {
      return Fail(Errc::kInvalidArgument, "--windows and --targets need --context");
    }
    CAIRN_TRY(TakeOne("--retrieve", retrieve_, &flags_.retrieve));
    CAIRN_TRY(TakeOne("--selection", selections_, &flags_.selection));
    // A score per token is only a score if no row uses what later rows asked for.
    if (!flags_.selection.has_value()) flags_.selection = "per-token";
    CAIRN_TRY(auto text, ReadText(text_path_));
    CAIRN_TRY(auto model, flags_.OpenModel());
    CAIRN_TRY(auto profile, flags_.NewProfile(*model));
    CAIRN_TRY(auto engine_options, flags_.ToEngineOptions());
    CAIRN_TRY(model->LoadWeights(engine_options.device));
    const std::vector<uint32_t> tokens = Tokens(model->tokenizer(), text, true);
    if (tokens.size() < 2) {
      return Fail(Errc::kInvalidArgument, "{} holds {} token; perplexity needs two", text_path_,
                  tokens.size());
    }
    if (attention_ == "retrieval") {
      CAIRN_TRY(auto options, flags_.ToSessionOptions(profile));
      CAIRN_TRY(auto session, MemorySession::Make(*model, profile, options, engine_options));
      return Score(*model, session->runner(), tokens);
    }
    NoteIfBeyond(model->llama().config().context, std::ssize(tokens));
    const SessionShape shape = profile.Shape(model->llama().config(), model->landmark());
    CAIRN_TRY(shape.Validate());
    DenseAttention dense(shape);
    Runner runner(model->llama(), dense, model->landmark(), profile.chunk);
    return Score(*model, runner, tokens);
  }

  template <class T>
  static Status TakeOne(const char* flag, const std::vector<T>& given, std::optional<T>* one) {
    if (given.size() > 1) {
      return Fail(Errc::kInvalidArgument, "{} takes a list only with --context; give one value",
                  flag);
    }
    if (!given.empty()) *one = given.front();
    return Ok();
  }

  Status Score(LoadedModel& model, Runner& runner, const std::vector<uint32_t>& tokens) {
    const auto start = std::chrono::steady_clock::now();
    Progress progress(flags_.quiet);
    TokenScorer scorer(model.llama());
    std::vector<float> losses;
    double sum = 0;
    size_t summed = 0;
    const auto add_up = [&] {
      for (; summed < losses.size(); ++summed) sum += losses[summed];
      return sum / static_cast<double>(summed);
    };
    CAIRN_TRY(scorer.Score(
        runner, tokens, 1,
        [&](int64_t fed) -> Status {
          if (Interrupted()) return Fail(Errc::kInterrupted, "stopped after {} tokens", fed);
          if (fed > 0 && progress.Due()) {
            progress.Show(fmt::format("{} of {} tokens, perplexity so far {:.3f}", fed,
                                      tokens.size(), std::exp(add_up())));
          }
          return Ok();
        },
        &losses));
    progress.Finish();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    Report(losses, add_up(), static_cast<double>(tokens.size()) / elapsed.count());
    return Ok();
  }

  void Report(const std::vector<float>& losses, double mean, double rate) const {
    if (!flags_.json) {
      fmt::print(
          "perplexity {:.4f} (mean nll {:.6f}) over {} tokens, {} attention, {:.0f} tokens/s\n",
          std::exp(mean), mean, losses.size(), attention_, rate);
      return;
    }
    nlohmann::json json{
        {"tokens", losses.size() + 1},  {"scored", losses.size()}, {"mean_nll", mean},
        {"perplexity", std::exp(mean)}, {"attention", attention_}, {"tokens_per_second", rate}};
    if (attention_ == "retrieval") json["selection"] = *flags_.selection;
    if (each_) json["nll"] = losses;
    PrintJson(json);
  }

  // Windows

  Status RunGrid() {
    CAIRN_TRY(auto text, ReadText(text_path_));
    CAIRN_TRY(auto model, flags_.OpenModel());
    CAIRN_TRY(auto profile, flags_.NewProfile(*model));
    CAIRN_TRY(auto session, flags_.ToSessionOptions(profile));
    CAIRN_TRY(auto engine_options, flags_.ToEngineOptions());
    CAIRN_TRY(auto options, ToGridOptions(session));
    const std::vector<uint32_t> tokens = Tokens(model->tokenizer(), text, false);
    CAIRN_TRY(options.Check(std::ssize(tokens)));
    CAIRN_TRY(model->LoadWeights(engine_options.device));
    CAIRN_TRY(auto grid, PerplexityGrid::Make(*model, profile, options, session, engine_options));
    if (options.dense()) {
      NoteIfBeyond(model->llama().config().context,
                   *std::max_element(contexts_.begin(), contexts_.end()));
    }
    Progress progress(flags_.quiet);
    CAIRN_TRY(grid.Run(tokens, [&](const std::string& where) -> Status {
      if (Interrupted()) {
        return Fail(Errc::kInterrupted, "stopped at {}; nothing is reported", where);
      }
      progress.Show(where);
      return Ok();
    }));
    progress.Finish();
    if (!flags_.json) {
      fmt::print("{}", grid.Table());
      return Ok();
    }
    const nlohmann::json json{{"tokens", tokens.size()},
                              {"windows", options.windows},
                              {"targets", options.targets},
                              {"attention", attention_},
                              {"settings", grid.Json(each_)}};
    PrintJson(json);
    return Ok();
  }

  Result<GridOptions> ToGridOptions(const SessionOptions& session) const {
    GridOptions options;
    options.contexts = contexts_;
    options.targets = targets_.value_or(options.targets);
    options.windows = windows_.value_or(options.windows);
    CAIRN_TRY(AtLeastOne("--targets", options.targets));
    CAIRN_TRY(AtLeastOne("--windows", options.windows));
    if (attention_ == "dense") {
      if (retrieve_.empty() && selections_.empty()) return options;
      return Fail(Errc::kInvalidArgument,
                  "--attention dense retrieves nothing; leave out --retrieve and --selection");
    }
    options.retrieve = retrieve_;
    if (retrieve_.empty()) options.retrieve = {session.retrieve};
    for (const std::string& name : selections_) {
      CAIRN_TRY(auto selection, ParseSelection(name));
      options.selections.push_back(selection);
    }
    if (selections_.empty()) options.selections = {Selection::kPerToken};
    return options;
  }

  // Both

  /// The text's tokens, at most --tokens of them; `begin`: behind what a text begins with.
  std::vector<uint32_t> Tokens(const Tokenizer& tokenizer, const std::string& text,
                               bool begin) const {
    std::vector<uint32_t> tokens;
    if (begin && tokenizer.add_bos() && tokenizer.bos()) tokens.push_back(*tokenizer.bos());
    const auto encoded = begin ? tokenizer.EncodeAtStart(text) : tokenizer.Encode(text);
    tokens.insert(tokens.end(), encoded.begin(), encoded.end());
    if (tokens_.has_value() && std::ssize(tokens) > *tokens_) {
      tokens.resize(static_cast<size_t>(*tokens_));
    }
    return tokens;
  }

  void NoteIfBeyond(int64_t context, int64_t tokens) const {
    if (flags_.quiet || tokens <= context) return;
    Tell(
        "note: beyond {} tokens the model was never trained on the distances that dense "
        "attention spans\n",
        context);
  }

  Flags flags_;
  std::string text_path_;
  std::string attention_;
  std::optional<int64_t> tokens_, windows_, targets_;
  std::vector<int64_t> contexts_;
  std::vector<int> retrieve_;
  std::vector<std::string> selections_;
  bool each_ = false;
};

}  // namespace

std::unique_ptr<Command> MakePerplexityCommand() { return std::make_unique<PerplexityCommand>(); }

}  // namespace cairn
