// WorkerPool: a few threads that share one batch of independent I/O calls at a time.
//
// For calls that wait for a device; arithmetic belongs to ParallelFor. Several threads may call
// Run at once; their batches are served in the order they came.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <vector>

#include "base/parallel.h"

namespace cairn {

class WorkerPool {
 public:
  /// `threads` beside the caller, which works too; 0 is allowed.
  explicit WorkerPool(int threads);
  ~WorkerPool();
  WorkerPool(const WorkerPool&) = delete;
  WorkerPool& operator=(const WorkerPool&) = delete;

  /// Runs body(i) once for every i in [0, count), in any order and at once; returns when all are
  /// done. The body must not call Run.
  void Run(size_t count, FunctionRef<void(size_t)> body);

 private:
  struct Batch {
    FunctionRef<void(size_t)> body;
    size_t count;
    std::atomic<size_t> next = 0;
    int helpers = 0;  // workers inside the batch, guarded by mutex_
  };

  static void Work(Batch& batch);
  void Serve();

  std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable done_;
  std::vector<Batch*> batches_;  // on the stacks of their callers
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace cairn
