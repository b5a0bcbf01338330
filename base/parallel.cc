#include "base/parallel.h"

#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/version.h>
#include <sched.h>

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "base/library_versions.h"
#include "base/single_openmp.h"

#ifdef CAIRN_SANITIZED_THREADS
#include <atomic>
#include <thread>
#include <vector>
#endif

namespace cairn {
namespace {

struct Pool {
  explicit Pool(int count)
      : threads(count),
        control(tbb::global_control::max_allowed_parallelism, static_cast<size_t>(count)),
        arena(count) {}
  int threads;
  tbb::global_control control;
  tbb::task_arena arena;
};

int AvailableCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

std::unique_ptr<Pool>& ThePool() {
  static std::unique_ptr<Pool> pool = std::make_unique<Pool>(AvailableCores());
  return pool;
}

#ifdef CAIRN_SANITIZED_THREADS
/// The thread sanitizer does not see into oneTBB, and would take each task that one thread hands to
/// another for a race. So its builds have threads that it does see.
void RunInParallel(Pool& pool, int64_t n, FunctionRef<void(int64_t)> body) {
  std::atomic<int64_t> next = 0;
  const auto work = [&] {
    const SingleOpenMp single;
    for (int64_t i = next++; i < n; i = next++) body(i);
  };
  std::vector<std::jthread> others;
  for (int i = 1; i < pool.threads; ++i) others.emplace_back(work);
  work();
}
#else
void RunInParallel(Pool& pool, int64_t n, FunctionRef<void(int64_t)> body) {
  pool.arena.execute([&] {
    tbb::parallel_for(
        tbb::blocked_range<int64_t>(0, n, 1),
        [&](const tbb::blocked_range<int64_t>& range) {
          const SingleOpenMp single;  // the arena's threads may be the host program's too
          for (int64_t i = range.begin(); i < range.end(); ++i) body(i);
        },
        tbb::simple_partitioner());
  });
}
#endif

}  // namespace

void SetThreads(int threads) {
  CAIRN_CHECK(threads >= 1);
  if (threads == ThePool()->threads) return;
  ThePool().reset();
  ThePool() = std::make_unique<Pool>(threads);
}

int Threads() { return ThePool()->threads; }

void ParallelFor(int64_t n, FunctionRef<void(int64_t)> body) {
  Pool& pool = *ThePool();
  if (n <= 0) return;
  if (n == 1 || pool.threads == 1) {
    const SingleOpenMp single;
    for (int64_t i = 0; i < n; ++i) body(i);
    return;
  }
  RunInParallel(pool, n, body);
}

void ParallelRanges(int64_t n, int64_t grain, FunctionRef<void(int64_t, int64_t)> body) {
  if (n <= 0) return;
  const int64_t units = (n + grain - 1) / grain;
  const int64_t parts = std::min<int64_t>(units, Threads());
  ParallelFor(parts, [&](int64_t part) {
    const int64_t begin = units * part / parts * grain;
    const int64_t end = std::min(n, units * (part + 1) / parts * grain);
    body(begin, end);
  });
}

std::string OneTbbVersion() { return TBB_runtime_version(); }

}  // namespace cairn
