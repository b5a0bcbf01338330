#include "storage/executor.h"

#include <utility>

namespace cairn {

ThreadExecutor::ThreadExecutor(size_t queue_limit)
    : queue_limit_(queue_limit), thread_([this] { Serve(); }) {}

ThreadExecutor::~ThreadExecutor() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_one();
  thread_.join();
}

bool ThreadExecutor::Post(std::function<void()> job) {
  {
    std::lock_guard lock(mutex_);
    if (jobs_.size() >= queue_limit_) return false;
    jobs_.push_back(std::move(job));
  }
  work_.notify_one();
  return true;
}

size_t ThreadExecutor::waiting() const {
  std::lock_guard lock(mutex_);
  return jobs_.size();
}

void ThreadExecutor::Serve() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [this] { return stop_ || !jobs_.empty(); });
    if (jobs_.empty()) return;
    const std::function<void()> job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    lock.lock();
  }
}

ManualExecutor::~ManualExecutor() {
  while (RunOne()) {
  }
}

bool ManualExecutor::Post(std::function<void()> job) {
  std::lock_guard lock(mutex_);
  if (jobs_.size() >= queue_limit_) return false;
  jobs_.push_back(std::move(job));
  return true;
}

bool ManualExecutor::RunOne() {
  std::function<void()> job;
  {
    std::lock_guard lock(mutex_);
    if (jobs_.empty()) return false;
    job = std::move(jobs_.front());
    jobs_.pop_front();
  }
  job();
  return true;
}

size_t ManualExecutor::waiting() const {
  std::lock_guard lock(mutex_);
  return jobs_.size();
}

}  // namespace cairn
