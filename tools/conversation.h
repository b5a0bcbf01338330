// Conversation: questions to a session and the model's answers, on scratch until they are kept.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "engine/step_log.h"
#include "model/sampler.h"
#include "tools/answer_order.h"
#include "tools/workspace.h"

namespace cairn {

struct Answer {
  std::string text;
  std::vector<uint32_t> tokens;
  std::vector<std::string> texts;  ///< of the tokens, each decoded alone
  int64_t first_token = 0;         ///< of the session's tokens: the place of the answer's first
  int64_t question_tokens = 0;
  int64_t answer_tokens = 0;
  bool cut = false;              ///< at the most tokens it might have, and not by itself
  double seconds_to_first = 0;   ///< from the question to the first token of the answer
  double seconds_per_token = 0;  ///< of the tokens after the first; 0 if there are none
};

/// Shows a piece of an answer on stdout: as it is, or harmless if that is a terminal.
void PrintAnswer(std::string_view piece);

class Conversation {
 public:
  /// Sees the answer's text in pieces, whole characters each.
  using Sink = std::function<void(std::string_view)>;

  /// `workspace` must outlive it. In a raw session a question is plain text that the model goes on
  /// from; elsewhere it becomes a user's turn of the model's chat template.
  static Result<Conversation> Open(Workspace& workspace);
  /// Questions are plain text that the model goes on from, whatever the session is.
  static Result<Conversation> OpenPlain(Workspace& workspace);

  /// Asks and answers, at most `max_tokens` tokens. On an error the session is as before.
  /// `log`, if there is one, gets what was read for the last rows of the question and for each
  /// token of the answer but the first, which follows from the question's last row.
  Result<Answer> Ask(const std::string& question, int64_t max_tokens, Sampler& sampler,
                     const Sink& sink, StepLog* log = nullptr);
  /// The same behind several turns, of which the last is a user's. kUnsupported for more than one
  /// in a raw session.
  Result<Answer> AskAfter(std::span<const Turn> turns, int64_t max_tokens, Sampler& sampler,
                          const Sink& sink, StepLog* log = nullptr);
  /// From now on asked before each step: once it says so, an answer ends where it is, and a
  /// question that is still being read is an error (kInterrupted).
  void EndWhen(std::function<bool()> end) { end_ = std::move(end); }
  /// From now on an answer fills `log` with what it may have missed (null: none does), in place of
  /// what the one before did; with audits if it says so.
  void Certify(MassLog* log) { mass_log_ = log; }
  /// Makes everything asked so far part of the session, ready for the next turn. A text that was
  /// half read ends where the first question began.
  Status Keep();
  /// Drops everything since the last commit.
  Status Forget();

 private:
  Conversation(Workspace& workspace, std::optional<ChatTemplate> chat)
      : workspace_(workspace), chat_(std::move(chat)) {}
  /// What `sampler`, if there is one, picks after the last of `tokens`; else 0.
  Result<uint32_t> FeedAndRecord(const std::vector<uint32_t>& tokens, Sampler* sampler,
                                 StepKind kind = StepKind::kRead);
  /// From `first` on.
  Result<Answer> Generate(uint32_t first, int64_t max_tokens, Sampler& sampler, const Sink& sink);
  Result<Answer> AskObserved(std::span<const Turn> turns, int64_t max_tokens, Sampler& sampler,
                             const Sink& sink, StepLog* log);
  bool ShouldEnd() const { return end_ != nullptr && end_(); }
  Status CloseAnswer();
  std::vector<uint32_t> Frame(std::span<const Turn> turns) const;

  Workspace& workspace_;
  std::optional<ChatTemplate> chat_;
  MassLog* mass_log_ = nullptr;
  bool answer_open_ = false;
  std::function<bool()> end_;
};

}  // namespace cairn
