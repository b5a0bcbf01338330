// CrowdWorker: one thread of a SessionCrowd, with sessions of its own.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/session.h"
#include "tests/support/session_crowd.h"

namespace cairn::test {

/// One thread. Sessions that are open when it goes lose what they have not committed.
class CrowdWorker {
 public:
  /// `names`: committed sessions that are this worker's from now on.
  CrowdWorker(SessionCrowd& crowd, uint64_t seed, std::vector<std::string> names);

  /// One random operation. An error is a fault of the store or a difference from the model.
  Status Operate();

 private:
  struct Own {
    std::string name;
    size_t book = 0;
    std::unique_ptr<Session> session{};  ///< null: closed
  };

  size_t Below(size_t end) { return random_() % end; }
  /// Calls `action` while no other thread reaches the engine.
  template <class Action>
  auto Locked(Action action) {
    const std::lock_guard lock(crowd_.mutex_);
    return action();
  }
  Status Create();
  Status Open(Own& own);
  Status Append(Own& own);
  Status Commit(Own& own);
  Status Fork();
  Status Rename(Own& own);
  Status Delete(size_t index);
  Status Move(const Own& own);
  /// Compares a committed session through a read-only store.
  Status Check(const Own& own);

  SessionCrowd& crowd_;
  std::mt19937_64 random_;
  std::vector<Own> own_;
};

}  // namespace cairn::test
