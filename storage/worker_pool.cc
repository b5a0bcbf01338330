#include "storage/worker_pool.h"

#include <algorithm>

namespace cairn {

WorkerPool::WorkerPool(int threads) {
  threads_.reserve(static_cast<size_t>(std::max(0, threads)));
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Serve(); });
}

WorkerPool::~WorkerPool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void WorkerPool::Work(Batch& batch) {
  for (;;) {
    const size_t i = batch.next.fetch_add(1);
    if (i >= batch.count) return;
    batch.body(i);
  }
}

void WorkerPool::Run(size_t count, FunctionRef<void(size_t)> body) {
  Batch batch{.body = body, .count = count};
  if (count < 2 || threads_.empty()) return Work(batch);
  {
    std::lock_guard lock(mutex_);
    batches_.push_back(&batch);
  }
  for (size_t i = 0; i < std::min(count - 1, threads_.size()); ++i) work_.notify_one();
  Work(batch);
  std::unique_lock lock(mutex_);
  std::erase(batches_, &batch);
  done_.wait(lock, [&] { return batch.helpers == 0; });
}

void WorkerPool::Serve() {
  std::unique_lock lock(mutex_);
  for (;;) {
    work_.wait(lock, [this] { return stop_ || !batches_.empty(); });
    if (batches_.empty()) return;
    Batch& batch = *batches_.front();
    ++batch.helpers;
    lock.unlock();
    Work(batch);
    lock.lock();
    // Nothing is left to hand out: later wake-ups go to the next batch.
    std::erase(batches_, &batch);
    if (--batch.helpers == 0) done_.notify_all();
  }
}

}  // namespace cairn
