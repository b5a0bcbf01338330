// BackgroundCheck: `cairn verify` on a thread of its own, for those who ask how it stands.
#pragma once

#include <chrono>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "tools/flags.h"

namespace cairn {

class BackgroundCheck {
 public:
  /// `flags` names the store.
  explicit BackgroundCheck(const Flags& flags);
  /// Waits for a check that runs, which Ctrl-C stops.
  ~BackgroundCheck();

  /// Begins to read everything; false if a check runs already.
  bool Start();
  /// `state` (never, running, whole, damaged, unreadable, failed), `began` (UTC; null if never),
  /// `seconds`, and of the last one that ended `report`, the document of `verify`, and `message`,
  /// which says why it failed or what helps. Damaged is what has any damage, whatever else there
  /// could not be read.
  nlohmann::json State() const;

 private:
  void Run();

  Flags flags_;
  mutable std::mutex mutex_;
  std::string state_ = "never", began_;
  std::chrono::steady_clock::time_point start_;
  double seconds_ = 0;
  nlohmann::json report_, message_;
  std::thread thread_;
};

}  // namespace cairn
