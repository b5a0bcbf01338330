#include "tests/support/cuda_on_cpu/thread_block.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/context/detail/fcontext.hpp>
#include <map>
#include <memory>
#include <numeric>
#include <vector>

#include "base/check.h"
#include "tests/support/cuda_on_cpu/fiber_switch.h"

namespace cairn::cuda_on_cpu {

// Static shared memory, where a kernel has any; see cuda_runtime.h.
extern std::byte static_shared_begin[] __asm__("__start_cuda_shared") __attribute__((weak));
extern std::byte static_shared_end[] __asm__("__stop_cuda_shared") __attribute__((weak));

Index3 thread_index;
Index3 block_index;
Size3 block_size;
Size3 grid_size;

namespace {

namespace context = boost::context::detail;

constexpr size_t kStackBytes = kAddressSanitizer ? 512 << 10 : 64 << 10;
constexpr size_t kCanaryBytes = 64;
constexpr std::byte kCanary{0xa5};
constexpr std::byte kUnwritten{0xff};

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
};

uint64_t order_seed = 1;
uint64_t switches = 0;
std::string failure;

void FillStaticShared(std::byte with) {
  std::byte* begin = static_shared_begin;
  if (begin != nullptr) std::fill(begin, static_cast<std::byte*>(static_shared_end), with);
}

struct Stack {
  std::unique_ptr<std::byte[]> bytes = std::make_unique_for_overwrite<std::byte[]>(kStackBytes);
  void* fiber = FiberOf(true);
};

// Of thread `number`, in whichever grid; what an earlier one left in it does not matter.
const Stack& StackFor(size_t number) {
  static std::vector<Stack> stacks;
  while (stacks.size() <= number) stacks.emplace_back();
  ForgetStack(stacks[number].bytes.get(), kStackBytes);
  return stacks[number];
}

class Order {
 public:
  explicit Order(uint64_t seed) : state_(seed) {}
  size_t Below(size_t count) { return static_cast<size_t>(Next() % count); }

 private:
  uint64_t Next() {  // SplitMix64
    uint64_t z = state_ += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  uint64_t state_;
};

Order draws(order_seed);

class Grid {
 public:
  Grid(size_t threads, size_t shared_bytes, const std::function<void()>& body)
      : order_(order_seed), body_(body), threads_(threads), shared_(shared_bytes) {
    for (size_t i = 0; i < threads; ++i) {
      Thread& thread = threads_[i];
      thread.index = {static_cast<unsigned>(i) % block_size.x,
                      static_cast<unsigned>(i) / block_size.x % block_size.y,
                      static_cast<unsigned>(i) / (block_size.x * block_size.y)};
      const Stack& stack = StackFor(i);
      thread.stack = stack.bytes.get();
      thread.fake_stack.fiber = stack.fiber;
      std::fill_n(thread.stack, kCanaryBytes, kCanary);
      thread.fiber = context::make_fcontext(thread.stack + kStackBytes, kStackBytes, &Grid::Enter);
    }
  }

  void Run() {
    main_fake_stack_.fiber = FiberOf(false);
    std::vector<unsigned> blocks(size_t{grid_size.x} * grid_size.y * grid_size.z);
    std::iota(blocks.begin(), blocks.end(), 0u);
    for (size_t i = blocks.size(); i > 1; --i) std::swap(blocks[i - 1], blocks[order_.Below(i)]);
    for (const unsigned i : blocks) {
      block_index = {i % grid_size.x, i / grid_size.x % grid_size.y,
                     i / (grid_size.x * grid_size.y)};
      RunBlock();
      if (!failure.empty()) return;
    }
  }

  void BlockBarrier(Place place) {
    if (at_barrier_ == 0) barrier_ = place;
    if (barrier_ != place) {
      return Fail(fmt::format("threads of one block meet at the barriers of {}:{} and {}:{}",
                              barrier_.file, barrier_.line, place.file, place.line));
    }
    if (++at_barrier_ == threads_.size()) {
      at_barrier_ = 0;
      for (size_t i = 0; i < threads_.size(); ++i) Release(i);
      DrawOrder();
    } else {
      current_->state = State::kAtBarrier;
    }
    current_->place = place;
    Suspend();
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
    if (WarpIsComplete()) FinishExchange();
    Suspend();
    return current_->exchange.result;
  }

  void MayYield() {
    if (order_.Below(2) == 0) return;
    Release(CurrentNumber());
    Suspend();
  }

  void Fail(std::string why) {
    failure = why;
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

  std::byte* shared() { return shared_.data(); }
  AsyncCopies& copies() { return current_->copies; }
  int Lane() const { return static_cast<int>(CurrentNumber() % kWarpThreads); }

 private:
  static void Enter(context::transfer_t from);

  size_t CurrentNumber() const { return static_cast<size_t>(current_ - threads_.data()); }

  size_t Warps() const { return (threads_.size() + kWarpThreads - 1) / kWarpThreads; }

  void Release(size_t number) {
    threads_[number].state = State::kRunnable;
    runnable_[number / kWarpThreads].push_back(number);
    ++runnable_threads_;
  }

  // Draws how threads run from here to the next barrier: any of them, or those of one warp as long
  // as they can, then those of the next. The second makes warps run as far apart as they can.
  void DrawOrder() {
    one_by_one_ = order_.Below(2) == 0;
    for (size_t i = Warps(); i > 1; --i) std::swap(warps_[i - 1], warps_[order_.Below(i)]);
  }

  size_t TakeNext() {
    size_t warp = 0;
    if (one_by_one_) {
      while (runnable_[warps_[warp]].empty()) ++warp;
      warp = warps_[warp];
    } else {
      size_t i = order_.Below(runnable_threads_);
      while (i >= runnable_[warp].size()) i -= runnable_[warp++].size();
    }
    std::vector<size_t>& threads = runnable_[warp];
    std::swap(threads[order_.Below(threads.size())], threads.back());
    const size_t next = threads.back();
    threads.pop_back();
    --runnable_threads_;
    return next;
  }

  void RunBlock() {
    std::fill(shared_.begin(), shared_.end(), kUnwritten);
    FillStaticShared(kUnwritten);
    runnable_.assign(Warps(), {});
    runnable_threads_ = 0;
    in_warp_.assign(Warps(), 0);
    warps_.resize(Warps());
    std::iota(warps_.begin(), warps_.end(), size_t{0});
    DrawOrder();
    for (size_t i = 0; i < threads_.size(); ++i) Release(i);
    size_t ended = 0;
    while (runnable_threads_ > 0) {
      Thread& thread = threads_[TakeNext()];
      Resume(&thread);
      if (!failure.empty()) return;
      if (thread.state == State::kEnded) ++ended;
    }
    if (ended != threads_.size()) failure = WhoWaits();
    for (const Thread& thread : threads_) {
      if (std::any_of(thread.stack, thread.stack + kCanaryBytes,
                      [](std::byte b) { return b != kCanary; })) {
        failure = "the stack of a thread has overflowed";
      }
    }
  }

  void Resume(Thread* thread) {
    ++switches;
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
      if (exchange.operation == WarpOperation::kShuffle) {
        if ((mask >> exchange.source & 1) == 0) {
          const Place& place = current_->place;
          failure = fmt::format(
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

  Order order_;
  const std::function<void()>& body_;
  std::vector<Thread> threads_;
  std::vector<std::byte> shared_;
  std::vector<std::vector<size_t>> runnable_;  // threads of each warp that can go on
  size_t runnable_threads_ = 0;
  bool one_by_one_ = false;
  std::vector<size_t> warps_;      // in the order in which they run, if one by one
  std::vector<uint32_t> in_warp_;  // lanes of each warp that wait for others
  Thread* current_ = nullptr;
  size_t at_barrier_ = 0;
  Place barrier_;
  context::fcontext_t main_ = nullptr;
  FakeStack main_fake_stack_;
  const void* main_stack_ = nullptr;
  size_t main_stack_bytes_ = 0;
};

Grid* running = nullptr;

// A fiber runs one thread of a block after another, and is dropped, not ended, with its grid.
void Grid::Enter(context::transfer_t from) {
  auto* grid = static_cast<Grid*>(from.data);
  grid->main_ = from.fctx;
  FinishSwitch(nullptr, &grid->main_stack_, &grid->main_stack_bytes_);
  while (true) {
    grid->body_();
    if (grid->copies().UnderWay()) grid->Fail("a thread has ended with copies under way");
    grid->copies().Forget();
    grid->current_->state = State::kEnded;
    grid->Suspend();
  }
}

}  // namespace

void SetOrderSeed(uint64_t seed) {
  order_seed = seed;
  draws = Order(seed);
}
size_t Draw(size_t count) { return draws.Below(count); }
size_t DrawStream(size_t count) {
  if (order_seed % 3 == 0) return Draw(count);
  return order_seed % 3 == 1 ? 0 : count - 1;
}
const std::string& Failure() { return failure; }
uint64_t Switches() { return switches; }

bool RunGrid(Size3 grid, Size3 block, size_t shared_bytes, const std::function<void()>& thread) {
  CAIRN_CHECK(running == nullptr);
  failure.clear();
  block_size = block;
  grid_size = grid;
  Grid run(size_t{block.x} * block.y * block.z, shared_bytes, thread);
  running = &run;
  run.Run();
  running = nullptr;
  return failure.empty();
}

void BlockBarrier(const char* file, int line) { running->BlockBarrier({file, line}); }
std::byte* DynamicShared() { return running->shared(); }
void MayYield() { running->MayYield(); }
int Lane() { return running->Lane(); }

uint64_t WarpExchange(WarpOperation operation, uint32_t mask, uint64_t value, int source,
                      const char* file, int line) {
  return running->WarpExchange({operation, mask, value, source, nullptr, 0}, {file, line});
}

void WarpTogether(WarpWork work, void* brought, const char* file, int line) {
  running->WarpExchange(
      {WarpOperation::kTogether, 0xffffffffu, reinterpret_cast<uint64_t>(brought), 0, work, 0},
      {file, line});
}

AsyncCopies& ThreadCopies() { return running->copies(); }

void CheckShared(const void* at, size_t bytes, const char* file, int line) {
  running->CheckShared(at, bytes, {file, line});
}

void CopyToShared(void* to, const void* from, size_t bytes, const char* file, int line) {
  running->CheckShared(to, AsyncCopies::kBytes, {file, line});
  if (reinterpret_cast<uintptr_t>(from) % AsyncCopies::kBytes != 0) {
    running->Fail(fmt::format("a copy at {}:{} reads where nothing is aligned to 16", file, line));
  }
  running->copies().Add(static_cast<std::byte*>(to), static_cast<const std::byte*>(from), bytes);
}

}  // namespace cairn::cuda_on_cpu
