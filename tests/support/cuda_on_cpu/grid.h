// A grid that runs: blocks one after another, each thread of one as a fiber. For thread_block.cc,
// which is compiled without the sanitizer of threads: what happens here orders nothing.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <boost/context/detail/fcontext.hpp>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/cuda_on_cpu/fiber_switch.h"
#include "tests/support/cuda_on_cpu/memory_order.h"
#include "tests/support/cuda_on_cpu/thread_block.h"
#include "tests/support/cuda_on_cpu/turns.h"

namespace cairn::cuda_on_cpu {

// Static shared memory, where a kernel has any; see cuda_runtime.h.
extern std::byte static_shared_begin[] __asm__("__start_cuda_shared") __attribute__((weak));
extern std::byte static_shared_end[] __asm__("__stop_cuda_shared") __attribute__((weak));

namespace context = boost::context::detail;

inline constexpr size_t kStackBytes =
    kAddressSanitizer ? 512 << 10 : (kThreadSanitizer ? 128 << 10 : 64 << 10);
inline constexpr size_t kCanaryBytes = 64;
inline constexpr size_t kMostEndedFibers = 128;  // kept, by the sanitizer of threads
inline constexpr std::byte kCanary{0xa5};
inline constexpr std::byte kUnwritten{0xff};

enum class State : uint8_t { kRunnable, kAtBarrier, kInWarp, kEnded };

struct Place {
  const char* file = "";
  int line = 0;
  bool operator==(const Place&) const = default;
};

struct Exchange {
  WarpOperation operation = WarpOperation::kBarrier;
  uint32_t mask = 0;
  uint64_t value = 0;
  int source = 0;
  WarpWork work = nullptr;  // of kTogether, `value` being what the lane brought
  uint64_t result = 0;
  char* joined = nullptr;  // of MemoryOrder, where this orders memory
};

struct Thread {
  std::byte* stack = nullptr;
  context::fcontext_t fiber = nullptr;
  Index3 index;
  State state = State::kEnded;
  Place place;
  Exchange exchange;
  AsyncCopies copies;
  FakeStack fake_stack;
  bool has_waited = false;  // for the launch before
};

inline void FillStaticShared(std::byte with) {
  std::byte* begin = static_shared_begin;
  if (begin == nullptr) return;
  std::fill(begin, static_cast<std::byte*>(static_shared_end), with);
  AsNewMemory(begin, static_cast<size_t>(static_shared_end - begin));
}

// Of thread `number` of grids of a stream; what an earlier one left in it does not matter. For the
// sanitizer of threads it is new memory where nothing orders those grids.
inline std::byte* StackFor(const GridOrigin& origin, size_t number) {
  static std::map<const void*, std::vector<std::unique_ptr<std::byte[]>>> all;
  auto& stacks = all[kThreadSanitizer ? origin.stream : nullptr];
  while (stacks.size() <= number) stacks.emplace_back();
  std::unique_ptr<std::byte[]>& stack = stacks[number];
  if (kThreadSanitizer && (origin.stream == nullptr || origin.overlaps)) stack.reset();
  if (stack == nullptr) stack = std::make_unique_for_overwrite<std::byte[]>(kStackBytes);
  ForgetStack(stack.get(), kStackBytes);
  return stack.get();
}

/// For the sanitizer of threads those of a grid without a stream are threads; one of a stream is
/// one thread, which takes far less time.
class Grid {
 public:
  Grid(size_t threads, size_t shared_bytes, const std::function<void()>& body, uint64_t seed,
       const GridOrigin& origin)
      : origin_(origin),
        apart_(kThreadSanitizer && origin.stream == nullptr),
        together_(apart_ || origin.fiber != nullptr ? origin.fiber : NewFiber()),
        turns_(seed),
        memory_(apart_),
        body_(body),
        threads_(threads),
        shared_(shared_bytes) {
    for (size_t i = 0; i < threads; ++i) {
      Thread& thread = threads_[i];
      thread.index = {static_cast<unsigned>(i) % block_size.x,
                      static_cast<unsigned>(i) / block_size.x % block_size.y,
                      static_cast<unsigned>(i) / (block_size.x * block_size.y)};
      if (!apart_) MakeFiber(&thread, i);
    }
  }

  void Run() {
    main_fake_stack_.fiber = RunningFiber();
    std::vector<unsigned> blocks(size_t{grid_size.x} * grid_size.y * grid_size.z);
    std::iota(blocks.begin(), blocks.end(), 0u);
    for (size_t i = blocks.size(); i > 1; --i) std::swap(blocks[i - 1], blocks[turns_.Below(i)]);
    for (const unsigned i : blocks) {
      block_index = {i % grid_size.x, i / grid_size.x % grid_size.y,
                     i / (grid_size.x * grid_size.y)};
      RunBlock();
      if (!failure_.empty()) break;
    }
    if (!apart_ || !failure_.empty()) EndThreads();
    memory_.EndGrid();
    if (kThreadSanitizer && !apart_) EndedFibers().push_back(together_);
  }

  void BlockBarrier(Place place) {
    if (at_barrier_ == 0) barrier_ = place;
    memory_.Arrive(CurrentNumber());
    if (barrier_ != place) {
      return Fail(fmt::format("threads of one block meet at the barriers of {}:{} and {}:{}",
                              barrier_.file, barrier_.line, place.file, place.line));
    }
    if (++at_barrier_ == threads_.size()) {
      at_barrier_ = 0;
      for (size_t i = 0; i < threads_.size(); ++i) memory_.Join(i);
      char* joined = memory_.Joined();
      for (size_t i = 0; i < threads_.size(); ++i) {
        threads_[i].exchange.joined = joined;
        Release(i);
      }
      turns_.DrawOrder();
    } else {
      current_->state = State::kAtBarrier;
    }
    current_->place = place;
    Suspend();
    MemoryOrder::Leave(current_->exchange.joined);
  }

  uint64_t WarpExchange(const Exchange& exchange, Place place) {
    if ((exchange.mask >> Lane() & 1) == 0) {
      Fail(fmt::format("lane {} is not in the mask {:#x} that it waits with at {}:{}", Lane(),
                       exchange.mask, place.file, place.line));
      return 0;
    }
    current_->state = State::kInWarp;
    in_warp_[CurrentNumber() / kWarpThreads] |= 1u << Lane();
    current_->place = place;
    current_->exchange = exchange;
    memory_.Arrive(CurrentNumber());
    if (WarpIsComplete()) FinishExchange();
    Suspend();
    MemoryOrder::Leave(current_->exchange.joined);
    return current_->exchange.result;
  }

  void BeginChange(const void* at) {
    if (turns_.Below(2) != 0) {
      Release(CurrentNumber());
      Suspend();
    }
    memory_.Change(CurrentNumber(), at);
  }

  void WaitForLaunchBefore() {
    current_->has_waited = true;
    AcquireFrom(origin_.before);
  }

  void Fence() { memory_.Fence(CurrentNumber()); }

  void Fail(std::string why) {
    failure_ = why;
    std::string().swap(why);  // nothing is destroyed on this stack any more
    Suspend();
  }

  void CheckShared(const void* at, size_t bytes, Place place) {
    const auto* begin = static_cast<const std::byte*>(at);
    const bool inside = begin >= shared_.data() && begin + bytes <= shared_.data() + shared_.size();
    if (inside && static_cast<size_t>(begin - shared_.data()) % bytes == 0) return;
    Fail(fmt::format("{} bytes at {}:{} are not aligned in shared memory", bytes, place.file,
                     place.line));
  }

  const std::string& failure() const { return failure_; }
  uint64_t switches() const { return switches_; }
  std::byte* shared() { return shared_.data(); }
  AsyncCopies& copies() { return current_->copies; }
  int Lane() const { return static_cast<int>(CurrentNumber() % kWarpThreads); }

 private:
  static void Enter(context::transfer_t from);

  size_t CurrentNumber() const { return static_cast<size_t>(current_ - threads_.data()); }

  void Release(size_t number) {
    threads_[number].state = State::kRunnable;
    turns_.Add(number);
  }

  void MakeFiber(Thread* thread, size_t number) {
    thread->stack = StackFor(origin_, number);
    thread->fake_stack.fiber = apart_ ? NewFiber() : together_;
    std::fill_n(thread->stack, kCanaryBytes, kCanary);
    thread->fiber = context::make_fcontext(thread->stack + kStackBytes, kStackBytes, &Grid::Enter);
  }

  // Memory that another block has used, and threads, are others for the sanitizer of threads.
  void RenewBlock() {
    if (!apart_) return;
    shared_ = std::vector<std::byte>(shared_.size());
    for (size_t i = 0; i < threads_.size(); ++i) MakeFiber(&threads_[i], i);
  }

  // Some that have ended are kept: a race with what one did is not reported once it is forgotten.
  static std::deque<void*>& EndedFibers() {
    static std::deque<void*> ended;
    for (; ended.size() > kMostEndedFibers; ended.pop_front()) ForgetFiber(ended.front());
    return ended;
  }

  void RunBlock() {
    RenewBlock();
    memory_.BeginBlock(threads_.size());
    std::fill(shared_.begin(), shared_.end(), kUnwritten);
    FillStaticShared(kUnwritten);
    const size_t warps = (threads_.size() + kWarpThreads - 1) / kWarpThreads;
    turns_.BeginBlock(warps);
    in_warp_.assign(warps, 0);
    for (size_t i = 0; i < threads_.size(); ++i) Release(i);
    size_t ended = 0;
    while (!turns_.None()) {
      Thread& thread = threads_[turns_.TakeNext()];
      Resume(&thread);
      if (!failure_.empty()) return;
      if (thread.state == State::kEnded) ++ended;
    }
    if (ended != threads_.size()) failure_ = WhoWaits();
    for (const Thread& thread : threads_) {
      if (std::any_of(thread.stack, thread.stack + kCanaryBytes,
                      [](std::byte b) { return b != kCanary; })) {
        failure_ = "the stack of a thread has overflowed";
      }
    }
    if (!apart_ || !failure_.empty()) return;
    for (const Thread& thread : threads_) EndedFibers().push_back(thread.fake_stack.fiber);
  }

  void Resume(Thread* thread) {
    ++switches_;
    current_ = thread;
    thread_index = thread->index;
    StartSwitch(&main_fake_stack_, thread->fake_stack, thread->stack, kStackBytes);
    thread->fiber = context::jump_fcontext(thread->fiber, this).fctx;
    FinishSwitch(&main_fake_stack_, nullptr, nullptr);
  }

  // Back to Run. The fiber goes on here when it is resumed, or never.
  void Suspend() {
    Thread* self = current_;
    StartSwitch(&self->fake_stack, main_fake_stack_, main_stack_, main_stack_bytes_);
    main_ = context::jump_fcontext(main_, nullptr).fctx;
    FinishSwitch(&self->fake_stack, &main_stack_, &main_stack_bytes_);
  }

  // On a fiber that has not run.
  void Begin(context::fcontext_t from) {
    const Unseen unseen;
    main_ = from;
    FinishSwitch(nullptr, &main_stack_, &main_stack_bytes_);
  }

  void End() {
    const Unseen unseen;
    if (copies().UnderWay()) Fail("a thread has ended with copies under way");
    if (origin_.overlaps && !current_->has_waited) {
      Fail("a thread has ended that did not wait for the launch before");
    }
    current_->has_waited = false;
    copies().Forget();
    current_->state = State::kEnded;
    memory_.EndThread();
  }

  // What threads did that will not end is over too.
  void EndThreads() {
    if constexpr (!kThreadSanitizer) return;
    for (const Thread& thread : threads_) {
      GoOnAs(thread.fake_stack.fiber);
      memory_.EndThread();
      GoOnAs(main_fake_stack_.fiber);
    }
  }

  size_t FirstOfWarp() const { return CurrentNumber() / kWarpThreads * kWarpThreads; }

  // Whether all lanes that the current thread waits for do the same.
  bool WarpIsComplete() const {
    const Exchange& mine = current_->exchange;
    if ((mine.mask & ~in_warp_[CurrentNumber() / kWarpThreads]) != 0) return false;
    for (unsigned lane = 0; lane < kWarpThreads; ++lane) {
      if ((mine.mask >> lane & 1) == 0) continue;
      const Thread& other = threads_[FirstOfWarp() + lane];
      if (other.exchange.mask != mine.mask || other.exchange.operation != mine.operation ||
          other.exchange.work != mine.work || !(other.place == current_->place)) {
        return false;
      }
    }
    return true;
  }

  void FinishExchange() {
    const uint32_t mask = current_->exchange.mask;
    in_warp_[CurrentNumber() / kWarpThreads] &= ~mask;
    char* joined = nullptr;
    if (current_->exchange.operation == WarpOperation::kBarrier) {
      for (unsigned lane = 0; lane < kWarpThreads; ++lane) {
        if ((mask >> lane & 1) != 0) memory_.Join(FirstOfWarp() + lane);
      }
      joined = memory_.Joined();
    }
    if (current_->exchange.work != nullptr) WorkTogether();
    uint64_t ballot = 0;
    for (unsigned lane = 0; lane < kWarpThreads; ++lane) {
      if ((mask >> lane & 1) != 0 && threads_[FirstOfWarp() + lane].exchange.value != 0) {
        ballot |= uint64_t{1} << lane;
      }
    }
    for (unsigned lane = 0; lane < kWarpThreads; ++lane) {
      if ((mask >> lane & 1) == 0) continue;
      Exchange& exchange = threads_[FirstOfWarp() + lane].exchange;
      exchange.result = ballot;
      exchange.joined = joined;
      if (exchange.operation == WarpOperation::kShuffle) {
        if ((mask >> exchange.source & 1) == 0) {
          const Place& place = current_->place;
          failure_ = fmt::format(
              "lane {} asks for the value of lane {}, which is not in {:#x}, at "
              "{}:{}",
              lane, exchange.source, mask, place.file, place.line);
          return;
        }
        const auto source = static_cast<unsigned>(exchange.source);
        exchange.result = threads_[FirstOfWarp() + source].exchange.value;
      }
      Release(FirstOfWarp() + lane);
    }
  }

  void WorkTogether() {
    const Unseen unseen;  // which lane does it is chance
    void* brought[kWarpThreads];
    for (unsigned lane = 0; lane < kWarpThreads; ++lane) {
      brought[lane] = reinterpret_cast<void*>(threads_[FirstOfWarp() + lane].exchange.value);
    }
    current_->exchange.work(brought);
  }

  std::string WhoWaits() const {
    std::map<std::string, int> counts;
    for (const Thread& thread : threads_) {
      const Place& at = thread.place;
      if (thread.state == State::kEnded) ++counts["have ended"];
      if (thread.state == State::kAtBarrier) {
        ++counts[fmt::format("wait at the barrier of {}:{}", at.file, at.line)];
      }
      if (thread.state == State::kInWarp) {
        ++counts[fmt::format("wait for lanes {:#x} at {}:{}", thread.exchange.mask, at.file,
                             at.line)];
      }
    }
    std::string text = "no thread of the block can go on:";
    for (const auto& [what, count] : counts) text += fmt::format(" {} {};", count, what);
    return text;
  }

  const GridOrigin origin_;
  const bool apart_;
  void* const together_;
  std::string failure_;
  uint64_t switches_ = 0;
  Turns turns_;
  MemoryOrder memory_;
  const std::function<void()> body_;
  std::vector<Thread> threads_;
  std::vector<std::byte> shared_;
  std::vector<uint32_t> in_warp_;  // lanes of each warp that wait for others
  Thread* current_ = nullptr;
  size_t at_barrier_ = 0;
  Place barrier_;
  context::fcontext_t main_ = nullptr;
  FakeStack main_fake_stack_;
  const void* main_stack_ = nullptr;
  size_t main_stack_bytes_ = 0;
};

// A fiber runs one thread of a block after another, and is dropped, not ended, with its grid.
inline void Grid::Enter(context::transfer_t from) {
  auto* grid = static_cast<Grid*>(from.data);
  grid->Begin(from.fctx);
  while (true) {
    grid->body_();
    grid->End();
    grid->Suspend();
  }
}

}  // namespace cairn::cuda_on_cpu
