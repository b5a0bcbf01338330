// AnswerDesk: answers questions to a store's sessions, one at a time, on a thread of its own. The
// store is only read: a session is opened on scratch, at its last commit, and forgets each question
// when it is answered.
//
// Others enter a question, wait for pieces of its answer, and leave; from any thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "tools/answer_order.h"
#include "tools/flags.h"
#include "tools/loaded_model.h"
#include "tools/workspace.h"

namespace cairn {

struct AnswerDeskLimits {
  size_t waiting = 8;              ///< questions, beside the one that is answered
  int64_t question_tokens = 8192;  ///< of all turns together
  int64_t answer_tokens = 4096;    ///< the most that anybody may ask for
};

/// What is known once an answer is whole.
struct AnswerEnd {
  bool cut = false;            ///< at max_tokens
  int64_t session_tokens = 0;  ///< the past that it was asked behind
  int64_t question_tokens = 0;
  int64_t answer_tokens = 0;
  nlohmann::json why;  ///< the document of `cairn why`; null unless asked for
};

/// A piece of an answer: some text, or its end, or both.
struct AnswerPiece {
  std::string text;
  std::optional<AnswerEnd> end;
};

class AnswerDesk {
 public:
  /// `flags` names store, model and adapters, and how the past is used. Reads the weights. The one
  /// caller must outlive this.
  static Result<std::unique_ptr<AnswerDesk>> Open(const Flags& flags,
                                                  const AnswerDeskLimits& limits);
  /// Ends what is under way.
  ~AnswerDesk();

  /// Whether sessions of this profile are of the model and adapters that are loaded. Any thread.
  bool IsForThis(const std::string& name, const SessionProfile& profile) const;

  /// Queues a question, which `Leave` must end. kBusy at once if too many wait.
  Result<uint64_t> Enter(AnswerOrder order);
  /// Waits for the next piece; errors are those of opening the session and of asking. kInterrupted
  /// once `gone` says so, which is asked often meanwhile. None comes behind the end.
  Result<AnswerPiece> Next(uint64_t ticket, const std::function<bool()>& gone);
  /// Gives the question up, if it is not answered, and forgets it.
  void Leave(uint64_t ticket);

 private:
  struct Ticket {
    AnswerOrder order;
    std::string text;  // that nobody has taken yet
    std::optional<Result<AnswerEnd>> end;
    bool begun = false, given_up = false;
    bool told = false;  // some of the text
  };

  AnswerDesk(const Flags& flags, const AnswerDeskLimits& limits) : flags_(flags), limits_(limits) {}
  void Work();
  Result<AnswerEnd> Handle(Ticket& ticket);
  Result<AnswerEnd> OpenAndAsk(Ticket& ticket);
  Status OpenSession(const std::string& name);
  /// Of a session as the store has it now; to compare with `opened_`.
  Result<std::string> StateNow(const std::string& name) const;
  Result<AnswerEnd> AskAndForget(Ticket& ticket);

  const Flags flags_;
  const AnswerDeskLimits limits_;
  std::string fingerprint_;
  const LoadedModel* loaded_ = nullptr;  // wherever it is

  // Of the thread that answers.
  std::unique_ptr<LoadedModel> model_;  // while no session is open
  std::unique_ptr<Workspace> workspace_;
  std::string opened_;  // what its session was when it was opened

  std::mutex mutex_;
  std::condition_variable work_, news_;
  std::map<uint64_t, std::unique_ptr<Ticket>> tickets_;
  std::deque<uint64_t> waiting_;
  uint64_t last_ticket_ = 0;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace cairn
