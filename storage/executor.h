// Executor: where work that may take long runs while its caller goes on.
//
// ThreadExecutor has one thread and a queue of fixed length; ManualExecutor runs jobs when a test
// says so. Thread-safe. A job must not throw and must not wait for another job.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace cairn {

class Executor {
 public:
  virtual ~Executor() = default;
  /// Takes the job, or returns false if the queue is full; then the caller does the work itself.
  virtual bool Post(std::function<void()> job) = 0;
  /// Jobs that were posted and have not begun.
  virtual size_t waiting() const = 0;
};

class ThreadExecutor final : public Executor {
 public:
  explicit ThreadExecutor(size_t queue_limit);
  /// Runs what was posted, then ends.
  ~ThreadExecutor() override;
  bool Post(std::function<void()> job) override;
  size_t waiting() const override;

 private:
  void Serve();

  const size_t queue_limit_;
  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::deque<std::function<void()>> jobs_;
  bool stop_ = false;
  std::thread thread_;
};

class ManualExecutor final : public Executor {
 public:
  explicit ManualExecutor(size_t queue_limit) : queue_limit_(queue_limit) {}
  ~ManualExecutor() override;
  bool Post(std::function<void()> job) override;
  /// Runs the oldest job in the calling thread; false if there is none.
  bool RunOne();
  size_t waiting() const override;

 private:
  const size_t queue_limit_;
  mutable std::mutex mutex_;
  std::deque<std::function<void()>> jobs_;
};

}  // namespace cairn
