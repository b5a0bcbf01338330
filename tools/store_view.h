// StoreView: a store as it is shown to readers while others write to it: sessions, texts, and how
// often blocks were fetched. It reads, and never more than a second behind the last commit.
//
// Any thread; one question at a time. A store that nobody asks for is closed, so that what a writer
// deletes goes.
#pragma once

#include <chrono>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "storage/rocks_cold_store.h"
#include "storage/session_catalog.h"
#include "tools/fetch_heat.h"
#include "tools/flags.h"
#include "tools/stored_session.h"

namespace cairn {

class StoreView {
 public:
  /// `flags` names the store, and a model for its tokenizer if there is one. It must outlive this.
  explicit StoreView(const Flags& flags) : flags_(flags) {}

  /// The document of `sessions list`.
  Result<nlohmann::json> Sessions();
  /// Names of the sessions that `takes`.
  Result<std::vector<std::string>> NamesOf(
      FunctionRef<bool(const std::string& name, const SessionProfile& profile)> takes);
  /// That of `sessions show`.
  Result<nlohmann::json> Session(const std::string& name);
  /// Tokens [first, end) as text, at most kMostTokens of them: `session`, `tokens`, `of`,
  /// `block_tokens` and `text`. kInvalidArgument for what is no range of the session.
  Result<nlohmann::json> Text(const std::string& name, int64_t first, int64_t end);
  /// kMismatch if `trace` is another store's.
  Status Check(const NamedTrace& trace);
  /// HeatJson of what `trace` fetched of the session.
  Result<nlohmann::json> Fetches(const std::string& name, const NamedTrace& trace);
  /// Closes the store if nobody has asked for a while.
  void Rest();

  static constexpr int64_t kMostTokens = 8192;

 private:
  using Clock = std::chrono::steady_clock;
  /// What is open, and what was read of it.
  struct Open {
    std::unique_ptr<RocksColdStore> cold;
    std::optional<SessionCatalog> catalog;
    Clock::time_point since;
    std::optional<nlohmann::json> sessions;
    std::string text_of;  // the session that `text` is of
    std::optional<SessionText> text;
  };

  Result<Open*> Look();
  Result<const SessionText*> TextOf(Open& open, const StoredSession& session);

  const Flags& flags_;
  std::mutex mutex_;
  std::unique_ptr<Open> open_;
  Clock::time_point asked_;
  // The tokenizer of the model that was asked for last, which texts refer to.
  std::string model_;
  std::optional<StoredText> tokenizer_;
};

}  // namespace cairn
