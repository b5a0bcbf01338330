#include "tools/perplexity_grid.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "model/dense_attention.h"
#include "tools/memory_session.h"

namespace cairn {

Status GridOptions::Check(int64_t tokens) const {
  for (const int64_t context : contexts) {
    if (context > targets) continue;
    return Fail(Errc::kInvalidArgument,
                "--context {} leaves no token before {} targets; use {} or more, or lower "
                "--targets",
                context, targets, targets + 1);
  }
  const int64_t longest = *std::max_element(contexts.begin(), contexts.end());
  if (longest <= tokens / windows) return Ok();
  return Fail(Errc::kInvalidArgument,
              "{} windows of a text of {} tokens have {} each, --context is up to {}; lower "
              "--windows or --context, or give a longer text",
              windows, tokens, tokens / windows, longest);
}

Result<PerplexityGrid> PerplexityGrid::Make(LoadedModel& model, const SessionProfile& profile,
                                            const GridOptions& options,
                                            const SessionOptions& session,
                                            const EngineOptions& engine) {
  PerplexityGrid grid(model, profile, options, engine);
  const SessionShape shape = profile.Shape(model.llama().config(), model.landmark());
  CAIRN_TRY(shape.Validate());
  for (const int64_t context : options.contexts) {
    if (options.dense()) grid.settings_.push_back({.context = context});
    for (const Selection selection : options.selections) {
      for (const int retrieve : options.retrieve) {
        SessionOptions own = session;
        own.selection = selection;
        own.retrieve = retrieve;
        CAIRN_TRY(own.Validate(shape));
        grid.settings_.push_back({.context = context, .session = own});
      }
    }
  }
  return grid;
}

Status PerplexityGrid::Run(std::span<const uint32_t> text, const BeforeStep& before_step) {
  // Window by window, so that a setting that cannot be run is met in the first of them.
  for (int64_t window = 0; window < options_.windows; ++window) {
    const auto end = static_cast<size_t>(std::ssize(text) * (window + 1) / options_.windows);
    for (size_t i = 0; i < settings_.size(); ++i) {
      const auto context = static_cast<size_t>(settings_[i].context);
      CAIRN_TRY(RunSetting(
          text.subspan(end - context, context),
          [&](int64_t fed) {
            return before_step(fmt::format("window {} of {}, setting {} of {}, token {} of {}",
                                           window + 1, options_.windows, i + 1, settings_.size(),
                                           fed, context));
          },
          &settings_[i]));
    }
  }
  return Ok();
}

Status PerplexityGrid::RunSetting(std::span<const uint32_t> window,
                                  const TokenScorer::BeforeStep& before_step, Setting* setting) {
  const auto start = std::chrono::steady_clock::now();
  std::vector<uint32_t> tokens(window.begin(), window.end());
  const Tokenizer& tokenizer = model_.tokenizer();
  if (tokenizer.add_bos() && tokenizer.bos()) tokens.front() = *tokenizer.bos();
  const int64_t first = std::ssize(tokens) - options_.targets;
  if (setting->session.has_value()) {
    CAIRN_TRY(auto session, MemorySession::Make(model_, profile_, *setting->session, engine_));
    CAIRN_TRY(scorer_.Score(session->runner(), tokens, first, before_step, &setting->losses));
  } else {
    DenseAttention dense(profile_.Shape(model_.llama().config(), model_.landmark()));
    Runner runner(model_.llama(), dense, model_.landmark(), profile_.chunk);
    CAIRN_TRY(scorer_.Score(runner, tokens, first, before_step, &setting->losses));
  }
  setting->seconds +=
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return Ok();
}

double PerplexityGrid::MeanLoss(const Setting& setting) const {
  return std::accumulate(setting.losses.begin(), setting.losses.end(), 0.0) /
         static_cast<double>(setting.losses.size());
}

std::optional<double> PerplexityGrid::StandardError(const Setting& setting) const {
  const auto windows = static_cast<double>(options_.windows);
  if (options_.windows < 2) return std::nullopt;
  const double mean = MeanLoss(setting);
  double squares = 0;
  for (int64_t window = 0; window < options_.windows; ++window) {
    const auto begin = setting.losses.begin() + window * options_.targets;
    const double own = std::accumulate(begin, begin + options_.targets, 0.0) /
                       static_cast<double>(options_.targets);
    squares += (own - mean) * (own - mean);
  }
  return std::sqrt(squares / (windows - 1) / windows);
}

std::string PerplexityGrid::Table() const {
  const size_t columns = options_.dense() ? 1 : options_.retrieve.size();
  std::string table = fmt::format("{:>8}  {:<22}", "context", options_.dense() ? "" : "selection");
  for (size_t i = 0; i < columns; ++i) {
    table += fmt::format("  {:>9}",
                         options_.dense() ? "dense" : fmt::format("k={}", options_.retrieve[i]));
  }
  for (size_t i = 0; i < settings_.size(); ++i) {
    const Setting& setting = settings_[i];
    if (i % columns == 0) {
      table += fmt::format("\n{:>8}  {:<22}", setting.context,
                           setting.session ? SelectionName(setting.session->selection) : "");
    }
    table += fmt::format("  {:>9.4f}", std::exp(MeanLoss(setting)));
  }
  return table + "\n";
}

nlohmann::json PerplexityGrid::Json(bool each) const {
  nlohmann::json list = nlohmann::json::array();
  for (const Setting& setting : settings_) {
    const double mean = MeanLoss(setting);
    const auto error = StandardError(setting);
    nlohmann::json entry{
        {"context", setting.context},
        {"mean_nll", mean},
        {"perplexity", std::exp(mean)},
        {"standard_error", error.has_value() ? nlohmann::json(*error) : nlohmann::json()},
        {"scored", setting.losses.size()},
        {"tokens_per_second",
         static_cast<double>(setting.context * options_.windows) / setting.seconds}};
    if (setting.session.has_value()) {
      entry["selection"] = SelectionName(setting.session->selection);
      entry["retrieve"] = setting.session->retrieve;
    }
    if (each) entry["nll"] = setting.losses;
    list.push_back(std::move(entry));
  }
  return list;
}

}  // namespace cairn
