// ChatRequest: a request to /v1/chat/completions read into an order for an answer. What would be
// answered otherwise than it asks for is refused, by the name of its field.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tools/answer_order.h"

namespace cairn {

struct ChatRequest {
  AnswerOrder order;
  bool draws_seed = false;  ///< it has none, and the temperature wants one
  bool stream = false;
  bool usage_in_stream = false;
};

/// A field that cannot be taken as it is; `param` is its name, empty if there are no fields.
struct ChatFault {
  std::string param;
  std::string message;
};

struct ChatLimits {
  int64_t default_tokens = 256;  ///< of an answer, unless asked for otherwise
  int64_t most_tokens = 4096;
  int64_t most_why_tokens = 256;  ///< with `why`, which keeps what each was read from
};

/// Reads `body`; true, or `fault` says what is wrong with it.
bool ReadChatRequest(std::string_view body, const ChatLimits& limits, ChatRequest* request,
                     ChatFault* fault);

}  // namespace cairn
