// AnswerSources: an answer, what was read of the past for each of its tokens, and the passages it
// was read from.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/step_log.h"
#include "tools/conversation.h"
#include "tools/passages.h"
#include "tools/session_text.h"

namespace cairn {

struct AnswerSources {
  std::string question;
  Answer answer;
  StepLog log;
  SessionShape shape;
  std::vector<std::string> texts;  ///< of the answer's tokens
  AnswerPlace place;
  std::vector<Passage> passages;  ///< most first

  /// Ranks anew, for one token of the answer alone. kInvalidArgument if there is none such.
  Status RankFor(int64_t token);
};

/// Asks as Conversation::Ask does, and finds out what the answer was read from.
Result<AnswerSources> AskForSources(Workspace& workspace, Conversation& conversation,
                                    const std::string& question, int64_t max_tokens,
                                    const Conversation::Sink& sink);

/// The same behind several turns, with a draw of one's own; the question is the last of them.
Result<AnswerSources> AskForSources(Workspace& workspace, Conversation& conversation,
                                    std::span<const Turn> turns, int64_t max_tokens,
                                    Sampler& sampler, const Conversation::Sink& sink);

/// What the session reads like, with everything asked and answered so far.
Result<SessionText> TextOf(Workspace& workspace);

/// The first `count` passages for people: where they stand, what they count for, their text.
std::string DescribePassages(const AnswerSources& sources, const SessionText& text, size_t count);
/// Layer by layer and head by head, what was read for one token of the answer.
std::string DescribeToken(const AnswerSources& sources, int64_t token);

}  // namespace cairn
