// The JSON document of `cairn why`.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "tools/against_dense.h"
#include "tools/answer_sources.h"

namespace cairn {

/// Question, answer, the first `count` passages, and for each token of the answer (or `token`
/// alone) what was read in each layer and KV head.
nlohmann::json WhyJson(const AnswerSources& sources, const SessionText& text, size_t count,
                       std::optional<int64_t> token);

/// Adds what full attention says to it: `dense`, and to each passage its `dense_attention`.
void AddDense(const AgainstDense& dense, const SessionText& text, nlohmann::json* json);

}  // namespace cairn
