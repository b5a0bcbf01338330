// SessionCrowd: many sessions of one store, worked on by several threads at once, at random, and a
// plain model of what each session holds.
//
// A session has one control thread at a time. The engine and its catalog take one call at a time,
// so what reaches them is done under a mutex: opening, ends of steps, commits, forks, renaming,
// deleting, imports. Attention, reads of blocks, exports and checks run beside each other; these
// two through a read-only store of their own, as another process would.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/latency_histogram.h"
#include "engine/engine.h"
#include "tests/support/crowd_book.h"

namespace cairn::test {

struct CrowdCounts {
  std::atomic<uint64_t> steps = 0;    ///< of sessions, whose outputs were compared
  std::atomic<uint64_t> commits = 0;  ///< acknowledged
  std::atomic<uint64_t> opened = 0;   ///< made, or opened again at the last commit
  std::atomic<uint64_t> forks = 0;    ///< of whole sessions and of beginnings
  std::atomic<uint64_t> renamed = 0;
  std::atomic<uint64_t> deleted = 0;
  std::atomic<uint64_t> moved = 0;    ///< exported to a file and imported again
  std::atomic<uint64_t> checked = 0;  ///< compared, all bytes, beside the writers
};

/// How long things took, waiting for other threads included.
struct CrowdLatencies {
  enum What : size_t { kStep, kCommit, kOpen, kCheck, kCount };
  std::array<LatencyHistogram, kCount> of{};
};

class SessionCrowd {
 public:
  /// A store in the directory `path`, made if it is not there.
  SessionCrowd(std::string path, uint64_t seed);

  /// `threads` threads do so many operations each; then the store is opened again and all of it is
  /// compared. May be called again: the sessions go on. An error says what differs.
  Status Run(int threads, int operations);
  const CrowdCounts& counts() const { return counts_; }
  /// Those since the last call; any thread may ask.
  CrowdLatencies TakeLatencies();

  /// What a session holds: the first rows of a book.
  struct Content {
    size_t book = 0;
    int64_t rows = 0;
  };
  /// The model: what sessions there are. Whoever changes sessions between runs changes it too.
  std::map<std::string, Content>& committed() { return committed_; }
  /// Opens a store as its writer and compares all of it with the model; the crowd's own, or a copy.
  Status CompareAll() { return CompareAll(path_); }
  Status CompareAll(const std::string& path);
  /// Good if a writer that opens the store leaves no blocks that are nobody's. Where blocks were
  /// damaged some may stay, as nobody can read whose they are.
  Status CompareExtents();
  /// Compares one session as a store has it: entry, tokens, tail, and the chain over its payloads.
  Status Compare(ColdStore& cold, const SessionCatalog& catalog, const std::string& name,
                 const Content& content) const;

 private:
  friend class CrowdWorker;

  Status OpenEngine(const std::string& path);
  std::string NewName();
  void Record(CrowdLatencies::What what, std::chrono::steady_clock::time_point start);

  const std::string path_;
  const uint64_t seed_;
  std::vector<CrowdBook> books_;
  CrowdCounts counts_;
  uint64_t runs_ = 0;
  std::atomic<uint64_t> names_ = 0;

  std::mutex latencies_mutex_;
  CrowdLatencies latencies_;

  std::mutex mutex_;  // of what follows
  std::unique_ptr<Engine> engine_;
  std::map<std::string, Content> committed_;  // the model
};

}  // namespace cairn::test
