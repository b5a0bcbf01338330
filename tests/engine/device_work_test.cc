// What sessions ask of a device: how much they copy and how often they wait, and that they leave
// nothing there.
#include <gtest/gtest.h>

#include "tests/engine/device_session.h"
#include "tests/engine/device_steps.h"
#include "tests/support/cuda_on_cpu/runtime.h"
#include "tests/support/cuda_on_cpu/thread_block.h"

namespace cairn {
namespace {

using test::DeviceSteps;
using test::kBlockRows;
using test::kLayers;
using test::OnDevice;
using test::OptionsOf;
using test::Problem;
using test::ShapeOf;
using test::Trace;

class DeviceWork : public testing::TestWithParam<AttentionMode> {};

// A layer of a step searches and attends: queries there, results back and a wait for each. Blocks
// that are missing are one batch more and no wait; a block that is complete is one copy of its
// representatives.
TEST_P(DeviceWork, ALayerWaitsTwiceAndCopiesBlocksAtMostOnce) {
  const Problem problem(ShapeOf(GetParam(), DType::kF16), 100, 54);
  auto engine = test::MemoryEngine(OnDevice(1 << 20));
  auto session =
      engine->CreateSession("s", problem.shape, OptionsOf(Selection::kPerToken), "{}").value();
  Trace trace(problem);
  ASSERT_GOOD(RunSteps(*session, problem, 60, 20, &trace));
  ASSERT_GOOD(RunSteps(*session, problem, 64, 1, &trace));  // makes buffers and the table
  uint64_t hits = 0, misses = 0;
  for (int64_t row = 64; row < 100; ++row) {
    const DeviceCounts before = engine->device()->Counts();
    const cuda_on_cpu::RuntimeCounts seen = cuda_on_cpu::Counts();
    const uint64_t absent = engine->tiers()->Report()[0].bytes_in;
    ASSERT_GOOD(RunStep(*session, problem, 1, &trace));
    const DeviceCounts after = engine->device()->Counts();
    const cuda_on_cpu::RuntimeCounts now = cuda_on_cpu::Counts();
    const bool hit = engine->tiers()->Report()[0].bytes_in == absent;
    const uint64_t batches = now.batches - seen.batches;
    EXPECT_EQ(after.waits - before.waits, now.waits - seen.waits) << "a wait was not counted";
    EXPECT_EQ(after.waits - before.waits, 2 * kLayers);
    const uint64_t completed = row % kBlockRows == kBlockRows - 1 ? kLayers : 0;
    EXPECT_EQ(after.copies - before.copies, 4 * kLayers + completed + batches);
    EXPECT_LE(batches, hit ? 0 : kLayers);
    hit ? ++hits : ++misses;
  }
  EXPECT_GT(hits, 0u);
  EXPECT_GT(misses, 0u);
}

// Of a step on the device every block that a list names is a hit of the compute tier or missed
// once; beside them there are fixed and new blocks that are fetched before the step.
TEST_P(DeviceWork, EveryBlockThatAStepThereReadsIsCountedOnce) {
  const Problem problem(ShapeOf(GetParam(), DType::kF16), 100, 58);
  SessionOptions options = OptionsOf(Selection::kPerToken);
  auto engine = test::MemoryEngine(OnDevice(1 << 20));
  auto session = engine->CreateSession("s", problem.shape, options, "{}").value();
  Trace trace(problem);
  DeviceSteps steps(problem);
  ASSERT_GOOD(RunSteps(*session, problem, 40, 4, &trace));
  ASSERT_GOOD(steps.RunStep(*session, 1, &trace));  // which finds what the host has fetched
  int64_t hit_steps = 0, careful = 0, again = 0;
  for (int64_t row = 41; row < 100; ++row) {
    options.retrieve = row % 8 == 7 ? 4 : 1;  // more than are there
    ASSERT_GOOD(session->SetOptions(options));
    const StepPlan plan = PlanStep(problem.shape, options, row);
    const auto reads = kLayers * 2 * (static_cast<uint64_t>(plan.choose) + plan.fixed.size());
    const TierReport before = engine->tiers()->Report()[0];
    const int64_t ahead = steps.launched_ahead(), layers_again = steps.layers_again();
    ASSERT_GOOD(steps.RunStep(*session, 1, &trace));
    const TierReport after = engine->tiers()->Report()[0];
    const uint64_t fetched = after.fetched_blocks - before.fetched_blocks;
    const uint64_t missed =
        (after.bytes_in - before.bytes_in) / problem.shape.block.payload_bytes();
    EXPECT_EQ(fetched - (after.hit_blocks - before.hit_blocks), missed);
    EXPECT_GE(fetched, reads);
    EXPECT_LE(fetched, reads + missed);
    if (missed == 0) ++hit_steps;
    if (steps.launched_ahead() == ahead) ++careful;
    if (steps.layers_again() > layers_again) ++again;
  }
  EXPECT_GT(hit_steps, 0);
  EXPECT_GT(careful, 0);
  EXPECT_GT(again, 0);
}

// Whatever call fails, a step fails with CUDA's words, and once it was aborted, the same step gives
// what it gives otherwise.
TEST_P(DeviceWork, AStepThatFailsLeavesTheSessionAsItWas) {
  const Problem problem(ShapeOf(GetParam(), DType::kF32), 44, 57);
  Trace expected(problem);
  {
    auto engine = test::MemoryEngine(OnDevice(1 << 20));
    auto session =
        engine->CreateSession("s", problem.shape, OptionsOf(Selection::kPerToken), "{}").value();
    ASSERT_GOOD(RunSteps(*session, problem, problem.rows, 7, &expected));
  }
  int failures = 0;
  for (int call = 1;; call += 1 + call / 15) {  // all of the first ones, then some
    cuda_on_cpu::SetOrderSeed(static_cast<uint64_t>(call));
    auto engine = test::MemoryEngine(OnDevice(1 << 20));
    auto session =
        engine->CreateSession("s", problem.shape, OptionsOf(Selection::kPerToken), "{}").value();
    Trace found(problem);
    cuda_on_cpu::FailCall(call);
    for (int64_t row = 0; row < problem.rows;) {
      const auto rows = static_cast<int32_t>(std::min<int64_t>(7, problem.rows - row));
      const Status status = RunStep(*session, problem, rows, &found);
      if (status) {
        row += rows;
        continue;
      }
      ASSERT_EQ(session->rows(), row);
      ASSERT_EQ(status.error().code, Errc::kIo) << status.error().message;
      ASSERT_NE(status.error().message.find("unknown error"), std::string::npos)
          << status.error().message;
      ++failures;
    }
    test::ExpectNear(found.o, {expected.o.begin(), expected.o.end()}, 1e-5);
    if (HasFailure()) FAIL() << "after call " << call << " failed";
    if (cuda_on_cpu::FailureIsDue()) break;  // there are not so many
  }
  cuda_on_cpu::FailCall(0);
  EXPECT_GT(failures, 30);
}

TEST_P(DeviceWork, NothingIsLeftOnTheDevice) {
  const size_t before = cuda_on_cpu::Leftovers();
  const Problem problem(ShapeOf(GetParam(), DType::kF16), 40, 56);
  Trace trace(problem);
  {
    auto engine = test::MemoryEngine(OnDevice(1 << 20));
    auto session =
        engine->CreateSession("s", problem.shape, OptionsOf(Selection::kPerToken), "{}").value();
    ASSERT_GOOD(RunSteps(*session, problem, problem.rows, 5, &trace));
  }
  EXPECT_EQ(cuda_on_cpu::Leftovers(), before);
}

INSTANTIATE_TEST_SUITE_P(Modes, DeviceWork,
                         testing::Values(AttentionMode::kLandmark, AttentionMode::kUnmodified),
                         [](const auto& info) {
                           return std::string(AttentionModeName(info.param));
                         });

TEST(DeviceEngine, TakesHalfOfWhatIsFreeUnlessTold) {
  cuda_on_cpu::SetMemory(8 << 20);
  auto engine = test::MemoryEngine(OnDevice(0));
  const SessionShape shape = ShapeOf(AttentionMode::kLandmark, DType::kF16);
  ASSERT_GOOD(engine->OpenTiers(shape, OptionsOf(Selection::kPerToken)));
  const TierReport compute = engine->tiers()->Report()[0];
  cuda_on_cpu::SetMemory(size_t{64} << 20);
  EXPECT_STREQ(compute.name, "compute");
  EXPECT_LE(compute.capacity_bytes, 4u << 20);
  EXPECT_GT(compute.capacity_bytes, 2u << 20);
}

}  // namespace
}  // namespace cairn
