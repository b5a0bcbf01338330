// ChatApi: the part of the OpenAI API that has an answer here: /v1/models, whose models are the
// sessions, and /v1/chat/completions, whole and streamed.
#pragma once

#include <atomic>
#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tools/answer_desk.h"
#include "tools/chat_request.h"
#include "tools/http_server.h"
#include "tools/store_view.h"

namespace cairn {

class ChatApi {
 public:
  /// Both must outlive it.
  ChatApi(AnswerDesk& desk, StoreView& store, const ChatLimits& limits)
      : desk_(desk), store_(store), limits_(limits) {}

  /// Whatever is below /v1.
  HttpReply Answer(const HttpRequest& request);

  /// The last answers that were asked for with `why`.
  struct Recorded {
    int64_t number = 0;
    std::string question;
  };
  std::vector<Recorded> recorded() const;
  /// The document of one of them; none if it is not there any more.
  std::optional<std::string> RecordedDocument(int64_t number) const;

 private:
  /// What all pieces of an answer have in common.
  struct Head {
    std::string id;
    int64_t created = 0;
    std::string model;
    nlohmann::json seed;  // of its draws; null if there are none
  };

  HttpReply Models(const std::string& name);
  HttpReply Complete(const HttpRequest& request);
  HttpReply Whole(uint64_t ticket, const Head& head, const HttpRequest& request);
  HttpReply Streamed(uint64_t ticket, const Head& head, bool usage, const HttpRequest& request);
  /// `cairn` of an answer's last piece: where `why` was recorded, and the seed. Null for neither.
  nlohmann::json Own(const Head& head, const AnswerEnd& end);
  /// Keeps the document of `why`; its number.
  int64_t Record(const AnswerEnd& end);

  AnswerDesk& desk_;
  StoreView& store_;
  const ChatLimits limits_;
  std::atomic<uint64_t> answers_ = 0;
  mutable std::mutex mutex_;
  struct Kept : Recorded {
    std::string document;
  };
  std::deque<Kept> recorded_;  // the oldest first
  size_t recorded_bytes_ = 0;  // of all documents
  int64_t last_recorded_ = 0;
};

}  // namespace cairn
