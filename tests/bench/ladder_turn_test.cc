#include "bench/ladder_turn.h"

#include <gtest/gtest.h>

#include <chrono>
#include <set>
#include <thread>

#include "bench/child_process.h"

namespace cairn {
namespace {

/// Sleeps, long in its third operation.
class Sleeper final : public LadderCase {
 public:
  explicit Sleeper(int readers) : LadderCase({.tier = "t", .step = "s", .readers = readers}, 0) {}
  Status Run(int, uint64_t count) override {
    for (; count > 0; --count) {
      const bool third = ++done_ == 3;
      std::this_thread::sleep_for(std::chrono::milliseconds(third ? 60 : 1));
    }
    return Ok();
  }
  bool UsedUp() const override { return most_ > 0 && done_ >= most_; }
  int done() const { return done_; }
  void End(int most) { most_ = most; }

 private:
  std::atomic<int> done_ = 0;
  int most_ = 0;
};

TEST(LadderTurn, AnOpenLoopSeesTheQueueAndAClosedOneDoesNot) {
  const DeviceCounters device(".");
  Sleeper closed(1), open(1);
  const auto one = RunClosedTurn(closed, device, 0.2, 1);
  ASSERT_TRUE(one.has_value());
  const auto other = RunOpenTurn(open, device, 0.2, {.rate_per_second = 200});
  ASSERT_TRUE(other.has_value());
  EXPECT_GE(one.value().latency_ps.max(), 60'000'000'000u);
  EXPECT_EQ(one.value().service_ps.count(), 0u);
  // One every 5 ms: of the 60 ms, those behind it wait 55, 50, ... whatever else the machine does.
  constexpr double kWaitedPs = (11 * 60 - 5 * 66) * 1e9;
  const LadderTurn& turn = other.value();
  EXPECT_GE(turn.operations, 39u);
  EXPECT_GE(
      (turn.latency_ps.mean() - turn.service_ps.mean()) * static_cast<double>(turn.operations),
      0.99 * kWaitedPs);
  EXPECT_EQ(other.value().latency_ps.count(), other.value().service_ps.count());
}

TEST(LadderTurn, OperationsTimedTogetherAreCountedEach) {
  const DeviceCounters device(".");
  Sleeper sleeper(1);
  const auto turn = RunClosedTurn(sleeper, device, 0.001, 5);
  ASSERT_TRUE(turn.has_value());
  EXPECT_EQ(turn.value().operations, 5u);
  EXPECT_EQ(turn.value().latency_ps.count(), 1u);
  EXPECT_GE(turn.value().latency_ps.max(), 64'000'000'000u / 5);
}

TEST(LadderTurn, EndsWhenTheCaseIsUsedUp) {
  const DeviceCounters device(".");
  Sleeper sleeper(3);
  sleeper.End(6);
  const auto turn = RunClosedTurn(sleeper, device, 60, 1);
  ASSERT_TRUE(turn.has_value());
  EXPECT_GE(sleeper.done(), 6);
  EXPECT_LE(sleeper.done(), 9);
}

class Failing final : public LadderCase {
 public:
  Failing() : LadderCase({.tier = "t", .step = "s", .readers = 2}, 0) {}
  Status Run(int, uint64_t) override { return Fail(Errc::kIo, "no disk"); }
};

TEST(LadderTurn, AnErrorEndsAllReaders) {
  const DeviceCounters device(".");
  Failing failing;
  const auto closed = RunClosedTurn(failing, device, 60, 1);
  ASSERT_FALSE(closed.has_value());
  EXPECT_EQ(closed.error().message, "no disk");
  EXPECT_FALSE(RunOpenTurn(failing, device, 0.1, {.rate_per_second = 100}).has_value());
}

TEST(Walk, ReadersHavePartsOfTheirOwnAndSayWhenTheyRepeat) {
  std::vector<int> numbers;
  for (int i = 0; i < 10; ++i) numbers.push_back(i);
  Walk<int> walk(numbers, 2);
  std::set<int> first, second;
  for (int i = 0; i < 2; ++i) {
    for (const int n : walk.Next(0, 2)) first.insert(n);
    for (const int n : walk.Next(1, 2)) second.insert(n);
  }
  EXPECT_EQ(first, (std::set<int>{0, 1, 2, 3}));
  EXPECT_EQ(second, (std::set<int>{5, 6, 7, 8}));
  EXPECT_FALSE(walk.repeats());
  EXPECT_EQ(walk.Next(0, 2)[0], 0);
  EXPECT_TRUE(walk.repeats());
  walk.Restart();
  EXPECT_FALSE(walk.repeats());
}

TEST(ChildProcess, OutputOrWhyNot) {
  const auto said = ChildProcess::Output({"sh", "-c", "echo one; echo two >&2"});
  ASSERT_TRUE(said.has_value());
  EXPECT_EQ(said.value(), "one\n");
  const auto failed = ChildProcess::Output({"sh", "-c", "echo why >&2; exit 3"});
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().message, "sh failed: why ");
  EXPECT_FALSE(ChildProcess::Output({"cairn-no-such-program"}).has_value());
  EXPECT_TRUE(FindProgram("sh").has_value());
  EXPECT_FALSE(FindProgram("cairn-no-such-program").has_value());
}

}  // namespace
}  // namespace cairn
