// What of a grid's threads is before what of others, as CUDA promises it, for the sanitizer of
// threads. In builds with it each thread of a grid is a thread of its own for it, and it is told of
// barriers, of __syncwarp, and of fences with atomics between them; of nothing else, whatever ran
// first here. So two threads that use the same memory, one of them writing, are reported under
// every seed unless that lies between: a missing barrier, a missing fence, or a shuffle taken for
// __syncwarp. In other builds all of this is nothing.
#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <vector>

#include "tests/support/cuda_on_cpu/fiber_switch.h"

namespace cairn::cuda_on_cpu {

/// Of a grid. Threads are numbered within the block that runs.
class MemoryOrder {
 public:
  /// Whether threads are threads for the sanitizer.
  explicit MemoryOrder(bool on) : on_(on) {}

  /// Threads of another block from here on.
  void BeginBlock(size_t threads) {
    if (!on_) return;
    threads_ = std::vector<Thread>(threads);
    for (Thread& thread : threads_) thread.arrived = Token();
  }

  /// Thread `number` comes to where it waits for others.
  void Arrive(size_t number) {
    if (on_) ReleaseTo(threads_[number].arrived);
  }
  /// By the last to arrive: what it has joined is before what those do who have left.
  void Join(size_t other) {
    if (on_) AcquireFrom(threads_[other].arrived);
  }
  char* Joined() {
    if (!on_) return nullptr;
    const Unseen unseen;
    char* joined = Token();
    ReleaseTo(joined);
    return joined;
  }
  static void Leave(char* joined) { AcquireFrom(joined); }

  /// A fence of a thread, and an atomic change by it: what was before one's fence is before what is
  /// behind another's, if the first then changed what the second had changed before its fence.
  void Fence(size_t number) {
    if (on_) FenceOf(&threads_[number]);
  }
  void Change(size_t number, const void* at) {
    if (on_) ChangeOf(&threads_[number], at);
  }

  /// A thread has ended. All that ended ones did is before what is done behind EndGrid.
  void EndThread() {
    if constexpr (kThreadSanitizer) ReleaseTo(ended_);
  }
  void EndGrid() {
    if constexpr (kThreadSanitizer) AcquireFrom(ended_);
  }

 private:
  struct Thread {
    char* arrived = nullptr;
    char* fence = nullptr;      // the last of its fences
    std::vector<char*> behind;  // fences of others before what it has changed
  };

  char* Token() { return &tokens_.emplace_back().token; }
  void FenceOf(Thread* thread);
  void ChangeOf(Thread* thread, const void* at);

  struct alignas(8) Padded {
    char token = 0;
  };
  const bool on_;
  std::deque<Padded> tokens_;
  std::vector<Thread> threads_;
  std::map<const void*, std::vector<char*>> fences_;  // before changes of an address
  char* ended_ = Token();
};

}  // namespace cairn::cuda_on_cpu
