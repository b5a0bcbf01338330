// Conversation: questions to a session and the model's answers, on scratch until they are kept.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "model/sampler.h"
#include "tools/workspace.h"

namespace cairn {

struct Answer {
  std::string text;
  int64_t question_tokens = 0;
  int64_t answer_tokens = 0;
  double seconds_to_first = 0;   ///< from the question to the first token of the answer
  double seconds_per_token = 0;  ///< of the tokens after the first; 0 if there are none
};

class Conversation {
 public:
  /// Sees the answer's text in pieces, whole characters each.
  using Sink = std::function<void(std::string_view)>;

  /// `workspace` must outlive it. In a raw session a question is plain text that the model goes on
  /// from; elsewhere it becomes a user's turn of the model's chat template.
  static Result<Conversation> Open(Workspace& workspace);

  /// Asks and answers, at most `max_tokens` tokens. On an error the session is as before.
  Result<Answer> Ask(const std::string& question, int64_t max_tokens, Sampler& sampler,
                     const Sink& sink);
  /// Makes everything asked so far part of the session, ready for the next turn. A text that was
  /// half read ends where the first question began.
  Status Keep();
  /// Drops everything since the last commit.
  Status Forget();

  /// How often each block was chosen while the last answer was made, over layers and heads.
  const std::map<int64_t, int64_t>& chosen_blocks() const { return chosen_blocks_; }

 private:
  Conversation(Workspace& workspace, std::optional<ChatTemplate> chat)
      : workspace_(workspace), chat_(std::move(chat)) {}
  Status FeedAndRecord(const std::vector<uint32_t>& tokens, std::vector<float>* logits,
                       StepKind kind = StepKind::kRead);
  Result<Answer> Generate(std::vector<float> logits, int64_t max_tokens, Sampler& sampler,
                          const Sink& sink);
  Status CloseAnswer();
  std::vector<uint32_t> Frame(const std::string& question) const;

  Workspace& workspace_;
  std::optional<ChatTemplate> chat_;
  bool answer_open_ = false;
  std::map<int64_t, int64_t> chosen_blocks_;
};

}  // namespace cairn
