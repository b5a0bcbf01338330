#include "storage/executor.h"

#include <atomic>

#include "store_fixture.h"

namespace cairn {
namespace {

TEST(ThreadExecutor, RunsJobsInOrderAndAllBeforeItEnds) {
  std::vector<int> order;
  {
    ThreadExecutor executor(1000);
    for (int i = 0; i < 100; ++i) {
      EXPECT_TRUE(executor.Post([&order, i] { order.push_back(i); }));
    }
  }
  ASSERT_EQ(order.size(), 100u);
  for (int i = 0; i < 100; ++i) EXPECT_EQ(order[i], i);
}

TEST(ThreadExecutor, RefusesJobsBeyondItsLimit) {
  std::atomic<bool> go = false;
  std::atomic<bool> running = false;
  ThreadExecutor executor(2);
  EXPECT_TRUE(executor.Post([&] {
    running = true;
    running.notify_one();
    go.wait(false);
  }));
  running.wait(false);
  EXPECT_TRUE(executor.Post([] {}));
  EXPECT_TRUE(executor.Post([] {}));
  EXPECT_FALSE(executor.Post([] {}));
  go = true;
  go.notify_one();
}

TEST(ManualExecutor, RunsWhenTold) {
  ManualExecutor executor(2);
  int ran = 0;
  EXPECT_FALSE(executor.RunOne());
  EXPECT_TRUE(executor.Post([&] { ++ran; }));
  EXPECT_TRUE(executor.Post([&] { ran += 10; }));
  EXPECT_FALSE(executor.Post([&] { ran += 100; }));
  EXPECT_EQ(executor.waiting(), 2u);
  EXPECT_TRUE(executor.RunOne());
  EXPECT_EQ(ran, 1);
  EXPECT_TRUE(executor.RunOne());
  EXPECT_EQ(ran, 11);
}

}  // namespace
}  // namespace cairn
