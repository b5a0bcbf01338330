#include "tests/support/cuda_on_cpu/thread_block.h"

#include "base/check.h"
#include "tests/support/cuda_on_cpu/grid.h"

namespace cairn::cuda_on_cpu {

Index3 thread_index;
Index3 block_index;
Size3 block_size;
Size3 grid_size;

namespace {

uint64_t order_seed = 1;
uint64_t switches = 0;
std::string failure;
Order draws(order_seed);
Grid* running = nullptr;
GridOrigin origin_of_grids;

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
void RunFor(const GridOrigin& origin) { origin_of_grids = origin; }
const std::string& Failure() { return failure; }
uint64_t Switches() { return switches; }

bool RunGrid(Size3 grid, Size3 block, size_t shared_bytes, const std::function<void()>& thread) {
  const Unseen unseen;  // what threads do is seen
  CAIRN_CHECK(running == nullptr);
  block_size = block;
  grid_size = grid;
  const size_t threads = size_t{block.x} * block.y * block.z;
  const auto run =
      std::make_unique<Grid>(threads, shared_bytes, thread, order_seed, origin_of_grids);
  running = run.get();
  run->Run();
  running = nullptr;
  failure = run->failure();
  switches += run->switches();
  return failure.empty();
}

void BlockBarrier(const char* file, int line) { running->BlockBarrier({file, line}); }

std::byte* DynamicShared() { return running->shared(); }
int Lane() { return running->Lane(); }

void BeginChange(const void* at) {
  const Unseen unseen;
  running->BeginChange(at);
}

void Fence() {
  const Unseen unseen;
  running->Fence();
}

void WaitForLaunchBefore() { running->WaitForLaunchBefore(); }

uint64_t WarpExchange(WarpOperation operation, uint32_t mask, uint64_t value, int source,
                      const char* file, int line) {
  return running->WarpExchange(
      {.operation = operation, .mask = mask, .value = value, .source = source}, {file, line});
}

void WarpTogether(WarpWork work, void* brought, const char* file, int line) {
  running->WarpExchange({.operation = WarpOperation::kTogether,
                         .mask = 0xffffffffu,
                         .value = reinterpret_cast<uint64_t>(brought),
                         .work = work},
                        {file, line});
}

AsyncCopies& ThreadCopies() { return running->copies(); }

void CheckShared(const void* at, size_t bytes, const char* file, int line) {
  const Unseen unseen;
  running->CheckShared(at, bytes, {file, line});
}

void CopyToShared(void* to, const void* from, size_t bytes, const char* file, int line) {
  CheckShared(to, AsyncCopies::kBytes, file, line);
  if (reinterpret_cast<uintptr_t>(from) % AsyncCopies::kBytes != 0) {
    const Unseen unseen;
    running->Fail(fmt::format("a copy at {}:{} reads where nothing is aligned to 16", file, line));
  }
  running->copies().Add(static_cast<std::byte*>(to), static_cast<const std::byte*>(from), bytes);
}

}  // namespace cairn::cuda_on_cpu
