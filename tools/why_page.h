// The page of `cairn why --html`.
#pragma once

#include <string>

#include "tools/answer_sources.h"

namespace cairn {

/// Question, answer, the first `count` passages, and a map of what was read of the text: for the
/// whole answer or any of its tokens.
std::string WhyPage(const std::string& session, const AnswerSources& sources,
                    const SessionText& text, size_t count);

}  // namespace cairn
