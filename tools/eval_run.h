// EvalRun: reads every text of an evaluation into a session of a scratch store, asks for its facts,
// and keeps what came of it in the log. Stopped at any moment, it goes on where it was.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "base/error.h"
#include "base/progress.h"
#include "tools/conversation.h"
#include "tools/eval_log.h"
#include "tools/eval_settings.h"
#include "tools/flags.h"
#include "tools/planted_text.h"
#include "tools/workspace.h"

namespace cairn {

class EvalRun {
 public:
  /// `store` is the directory of the scratch store, made when needed. All must outlive the run;
  /// `planter` uses the tokenizer of the model that Run gets.
  EvalRun(const Flags& flags, const EvalSettings& settings, const TextPlanter& planter,
          const std::string& store, EvalLog& log);

  bool Finished() const;
  /// Reads and asks for what the log does not hold yet. Loads the weights once. kInterrupted after
  /// Ctrl-C: finished texts are in the log, and the one being read is in the store.
  Status Run(std::unique_ptr<LoadedModel> model);

 private:
  using Clock = std::chrono::steady_clock;

  /// Deletes sessions of texts that are finished, which a run that was killed may have left.
  Status DeleteFinished() const;
  Status RunText(Workspace& workspace, const PlantedText& planted, EvalRecord* record);
  Status Ask(Workspace& workspace, const PlantedText& planted, EvalRecord* record);
  /// One question; with --why also where the fact is among the passages.
  Result<Answer> AskOne(Workspace& workspace, Conversation& conversation,
                        const std::string& question, const Planting& planting,
                        EvalAnswer* kept) const;
  void Show(const EvalRecord& record, const std::string& doing, int64_t done);
  static std::string SessionName(int64_t length, int64_t text);

  Flags flags_;
  const EvalSettings& settings_;
  const TextPlanter& planter_;
  EvalLog& log_;
  Progress progress_;
  Clock::time_point start_ = Clock::now();
  int64_t tokens_before_ = 0;   // read and asked for by this run, in finished texts
  int64_t tokens_skipped_ = 0;  // of the text being read, by earlier runs
};

}  // namespace cairn
