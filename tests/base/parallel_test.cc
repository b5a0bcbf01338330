#include "base/parallel.h"

#include <gtest/gtest.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace cairn {
namespace {

class ParallelTest : public testing::TestWithParam<int> {
 protected:
  ParallelTest() : before_(Threads()) { SetThreads(GetParam()); }
  ~ParallelTest() override { SetThreads(before_); }

 private:
  int before_;
};

TEST_P(ParallelTest, SetThreadsIsInForce) { EXPECT_EQ(Threads(), GetParam()); }

TEST_P(ParallelTest, ForCallsEveryIndexOnce) {
  for (const int64_t n : {-1, 0, 1, 2, 3, 1000}) {
    std::vector<std::atomic<int>> calls(static_cast<size_t>(n < 0 ? 0 : n));
    ParallelFor(n, [&](int64_t i) { ++calls.at(static_cast<size_t>(i)); });
    for (size_t i = 0; i < calls.size(); ++i) EXPECT_EQ(calls[i], 1) << i << " of " << n;
  }
}

TEST_P(ParallelTest, RangesCoverEveryIndexOnce) {
  for (const int64_t n : {-1, 0, 1, 7, 8, 9, 63, 64, 65, 1000}) {
    for (const int64_t grain : {1, 8, 64}) {
      std::vector<std::atomic<int>> calls(static_cast<size_t>(n < 0 ? 0 : n));
      std::atomic<int> ranges = 0;
      ParallelRanges(n, grain, [&](int64_t begin, int64_t end) {
        ++ranges;
        EXPECT_LT(begin, end);
        EXPECT_EQ(begin % grain, 0);
        EXPECT_TRUE(end == n || end % grain == 0) << end;
        for (int64_t i = begin; i < end; ++i) ++calls.at(static_cast<size_t>(i));
      });
      EXPECT_LE(ranges, Threads());
      for (size_t i = 0; i < calls.size(); ++i) {
        EXPECT_EQ(calls[i], 1) << i << " of " << n << " by " << grain;
      }
    }
  }
}

TEST_P(ParallelTest, TheSplitIsAlwaysTheSame) {
  const auto split = [] {
    std::vector<std::pair<int64_t, int64_t>> ranges;
    std::mutex mutex;
    ParallelRanges(1000, 16, [&](int64_t begin, int64_t end) {
      const std::lock_guard lock(mutex);
      ranges.emplace_back(begin, end);
    });
    std::sort(ranges.begin(), ranges.end());
    return ranges;
  };
  const auto first = split();
  EXPECT_EQ(first.size(), static_cast<size_t>(GetParam()));
  for (int i = 0; i < 5; ++i) EXPECT_EQ(split(), first);
}

TEST_P(ParallelTest, OneIndexRunsInTheCaller) {
  std::thread::id thread;
  ParallelFor(1, [&](int64_t) { thread = std::this_thread::get_id(); });
  EXPECT_EQ(thread, std::this_thread::get_id());
}

TEST_P(ParallelTest, OpenMpIsTheCallersAgain) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(3);
  for (const int64_t n : {1, 2, 100}) {
    std::atomic<int> most = 0;
    ParallelFor(n, [&](int64_t) {
      if (omp_get_max_threads() > 1) ++most;
    });
    EXPECT_EQ(most, 0) << "bodies stay on their core";
    EXPECT_EQ(omp_get_max_threads(), 3) << n;
#ifndef CAIRN_SANITIZED_THREADS  // whose threads end the program when one throws
    EXPECT_THROW(ParallelFor(n, [](int64_t i) { (void)std::vector<int>().at(i); }),
                 std::out_of_range);
    EXPECT_EQ(omp_get_max_threads(), 3) << n;
#endif
  }
  omp_set_num_threads(before);
}

INSTANTIATE_TEST_SUITE_P(Threads, ParallelTest, testing::Values(1, 2, 5));

TEST(FunctionRefTest, CallsWhatItRefersTo) {
  int sum = 0;
  const auto add = [&sum](int x) { return sum += x; };
  const FunctionRef<int(int)> ref(add);
  EXPECT_EQ(ref(3), 3);
  EXPECT_EQ(ref(4), 7);
}

}  // namespace
}  // namespace cairn
