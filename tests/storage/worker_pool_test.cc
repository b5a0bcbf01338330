#include "storage/worker_pool.h"

#include "store_fixture.h"

namespace cairn {
namespace {

TEST(WorkerPool, RunsEveryIndexOnce) {
  for (const int threads : {0, 1, 4}) {
    WorkerPool pool(threads);
    for (const size_t count : {0, 1, 2, 7, 100}) {
      std::vector<std::atomic<int>> runs(count);
      pool.Run(count, [&](size_t i) { ++runs[i]; });
      for (const auto& ran : runs) EXPECT_EQ(ran, 1);
    }
  }
}

TEST(WorkerPool, ServesSeveralCallersAtOnce) {
  WorkerPool pool(3);
  std::atomic<uint64_t> sum = 0;
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int round = 0; round < 200; ++round) pool.Run(20, [&](size_t i) { sum += i; });
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(sum, 4u * 200u * 190u);
}

}  // namespace
}  // namespace cairn
