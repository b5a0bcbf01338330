// Runs the threads of CUDA blocks on one CPU thread, so that tests can run kernels without a GPU.
//
// Blocks run one after another in an order drawn from a seed; in a block every thread is a fiber,
// and whenever one waits at a barrier, ends, or is about to change memory atomically, the next is
// drawn among those that can go on: of all threads, or of one warp as long as any of its threads
// can. So threads and warps run ahead of each other as far as barriers let them, and what a missing
// barrier was to protect is read too early, or overwritten, under some seed. Shared memory is
// filled with 0xff (NaN) before each block. Waiting that cannot end, and threads that meet at
// different barriers, are failures that say who waits where.
//
// In builds with the sanitizer of threads what nothing orders is reported besides, whatever came
// first here (memory_order.h). In others threads that change the same plain variable without
// waiting go unseen, as they do not interrupt each other between two such points.
//
// Not modelled: no caches, no blocks at the same time, no alignment of vector loads (the
// undefined-behaviour sanitizer sees those), no registers and no time. Arithmetic is the CPU's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "tests/support/cuda_on_cpu/async_copies.h"

namespace cairn::cuda_on_cpu {

struct Index3 {
  unsigned x = 0, y = 0, z = 0;
};

struct Size3 {
  unsigned x = 1, y = 1, z = 1;
};

inline constexpr unsigned kWarpThreads = 32;

/// Where the running thread is; set by the scheduler.
extern Index3 thread_index;
extern Index3 block_index;
extern Size3 block_size;
extern Size3 grid_size;

/// The seed for the order of blocks and threads in launches from now on, and for Draw.
void SetOrderSeed(uint64_t seed);
/// A number below `count`, from the seed.
size_t Draw(size_t count);
/// The same for the stream that goes on next: by one seed of three any, else the oldest as long as
/// it can, or the newest.
size_t DrawStream(size_t count);

/// Runs `thread` once for each thread of the grid. False if the launch failed, which ends it;
/// Failure() then has the reason. Not from two CPU threads at a time.
bool RunGrid(Size3 grid, Size3 block, size_t shared_bytes, const std::function<void()>& thread);
const std::string& Failure();
/// Where a grid comes from. For the sanitizer of threads one of a stream is `fiber`, or a new one
/// if that is null. One that overlaps waits for `before`, a token, or null.
struct GridOrigin {
  const void* stream = nullptr;
  bool overlaps = false;
  void* fiber = nullptr;
  char* before = nullptr;
};
/// Of grids from now on.
void RunFor(const GridOrigin& origin);

/// How often fibers were switched since the program began: a measure of what tests cost.
uint64_t Switches();

/// For threads of a running grid. `file` and `line` name the place in the kernel.
void BlockBarrier(const char* file, int line);
std::byte* DynamicShared();
/// Before memory is changed atomically: another thread goes first, or not, by the seed.
void BeginChange(const void* at);
/// __threadfence.
void Fence();
/// griddepcontrol.wait. A thread of a launch that overlaps must not end without it.
void WaitForLaunchBefore();

enum class WarpOperation : uint8_t { kBarrier, kShuffle, kBallot, kTogether };

/// Waits for all lanes of `mask`. kShuffle: the value of lane `source`, which `mask` must have;
/// kBallot: a bit for each lane of `mask` whose value is not 0.
uint64_t WarpExchange(WarpOperation operation, uint32_t mask, uint64_t value, int source,
                      const char* file, int line);
/// Waits for all lanes of the warp; then `work` is called once with what each of them brought, and
/// all go on.
using WarpWork = void (*)(void* const* brought);
void WarpTogether(WarpWork work, void* brought, const char* file, int line);
/// The lane of the running thread in its warp.
int Lane();

/// The running thread's; under way when it ends, they are a failure.
AsyncCopies& ThreadCopies();
/// A failure unless `bytes` at `at` lie in the block's dynamic shared memory, aligned to `bytes`.
void CheckShared(const void* at, size_t bytes, const char* file, int line);
/// cp.async of 16 bytes: `bytes` of them from `from`, the others zeros. Both are aligned to 16.
void CopyToShared(void* to, const void* from, size_t bytes, const char* file = __builtin_FILE(),
                  int line = __builtin_LINE());

}  // namespace cairn::cuda_on_cpu
