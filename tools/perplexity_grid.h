// PerplexityGrid: the perplexity of the same tokens of a text in many settings: how much of the
// text before them is read, how many blocks are retrieved, and who shares a choice of blocks.
//
// The text is cut into `windows` equal parts; the last `targets` tokens of each are scored. A
// setting reads the `context` tokens that end with them, from an empty memory.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/engine.h"
#include "tools/loaded_model.h"
#include "tools/session_profile.h"
#include "tools/token_scorer.h"

namespace cairn {

struct GridOptions {
  std::vector<int64_t> contexts;  ///< tokens read, targets included
  int64_t targets = 256;          ///< tokens scored in each window
  int64_t windows = 10;
  std::vector<Selection> selections;  ///< none, and no retrieve: dense attention
  std::vector<int> retrieve;          ///< k

  bool dense() const { return selections.empty(); }
  /// kInvalidArgument with the numbers if a text of `tokens` tokens is too short, or a context for
  /// the targets.
  Status Check(int64_t tokens) const;
};

class PerplexityGrid {
 public:
  /// Told where the work stands, before every step; an error ends it.
  using BeforeStep = std::function<Status(const std::string& where)>;

  /// `model` must outlive the grid, its weights loaded. `session` gives what no setting changes.
  /// Refuses what the engine would refuse in any setting before anything is read.
  static Result<PerplexityGrid> Make(LoadedModel& model, const SessionProfile& profile,
                                     const GridOptions& options, const SessionOptions& session,
                                     const EngineOptions& engine);

  /// Scores all settings in all windows of `text`, which GridOptions::Check has accepted.
  Status Run(std::span<const uint32_t> text, const BeforeStep& before_step);

  /// Perplexities: a row for each context and selection, a column for each k.
  std::string Table() const;
  /// A list of settings; `each`: with the loss of every target, windows one after another.
  nlohmann::json Json(bool each) const;

 private:
  struct Setting {
    int64_t context = 0;
    std::optional<SessionOptions> session{};  // none: dense attention
    std::vector<float> losses{};              // of all windows
    double seconds = 0;
  };
  PerplexityGrid(LoadedModel& model, const SessionProfile& profile, const GridOptions& options,
                 const EngineOptions& engine)
      : model_(model),
        profile_(profile),
        options_(options),
        engine_(engine),
        scorer_(model.llama()) {}
  Status RunSetting(std::span<const uint32_t> window, const TokenScorer::BeforeStep& before_step,
                    Setting* setting);
  double MeanLoss(const Setting& setting) const;
  /// Of the mean over windows; none for a single window.
  std::optional<double> StandardError(const Setting& setting) const;

  LoadedModel& model_;
  SessionProfile profile_;
  GridOptions options_;
  EngineOptions engine_;
  TokenScorer scorer_;
  std::vector<Setting> settings_;  // contexts × selections × retrieve
};

}  // namespace cairn
