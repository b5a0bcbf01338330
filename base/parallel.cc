#include "base/parallel.h"

#include <omp.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_scheduler_observer.h>
#include <sched.h>

#include <algorithm>
#include <memory>

#include "base/check.h"

#ifdef __SANITIZE_THREAD__
extern "C" {
void __tsan_acquire(void* address);
void __tsan_release(void* address);
}
#endif

namespace cairn {
namespace {

/// Tells the thread sanitizer, which does not see into oneTBB, that what one thread did before a
/// Give comes before what another does after a Take.
class Handover {
 public:
#ifdef __SANITIZE_THREAD__
  void Give() { __tsan_release(this); }
  void Take() { __tsan_acquire(this); }
#else
  void Give() {}
  void Take() {}
#endif

 private:
  [[maybe_unused]] char place_ = 0;
};

// Every thread that enters the arena runs OpenMP regions alone.
class SingleOpenMp : public tbb::task_scheduler_observer {
 public:
  explicit SingleOpenMp(tbb::task_arena& arena) : tbb::task_scheduler_observer(arena) {
    observe(true);
  }
  ~SingleOpenMp() override { observe(false); }
  void on_scheduler_entry(bool) override { omp_set_num_threads(1); }
};

struct Pool {
  explicit Pool(int count)
      : threads(count),
        control(tbb::global_control::max_allowed_parallelism, static_cast<size_t>(count)),
        arena(count),
        observer(arena) {}
  int threads;
  tbb::global_control control;
  tbb::task_arena arena;
  SingleOpenMp observer;
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
    omp_set_num_threads(1);
    for (int64_t i = 0; i < n; ++i) body(i);
    return;
  }
  Handover begin, end;
  begin.Give();
  pool.arena.execute([&] {
    tbb::parallel_for(
        tbb::blocked_range<int64_t>(0, n, 1),
        [&](const tbb::blocked_range<int64_t>& range) {
          begin.Take();
          for (int64_t i = range.begin(); i < range.end(); ++i) body(i);
          end.Give();
        },
        tbb::simple_partitioner());
  });
  end.Take();
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

}  // namespace cairn
