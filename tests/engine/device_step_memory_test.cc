// Steps on a device that lacks memory for what they work in, or has it elsewhere.
#include <gtest/gtest.h>

#include "tests/engine/device_crowd.h"
#include "tests/engine/device_steps.h"
#include "tests/support/cuda_on_cpu/runtime.h"

namespace cairn {
namespace {

using test::AskingAlike;
using test::Crowded;
using test::DeviceSteps;
using test::OnDevice;
using test::OptionsOf;
using test::Problem;
using test::ShapeOf;
using test::Trace;

void ExpectSame(const Trace& found, const Trace& expected) {
  test::ExpectNear(found.o, {expected.o.begin(), expected.o.end()}, 1e-5);
}

class DeviceStepMemory : public testing::TestWithParam<AttentionMode> {};

// Where its blocks lay there are another's by then, and no memory is left to tell the device.
TEST_P(DeviceStepMemory, ATableThatCannotFollowIsNotRead) {
  Crowded crowded(GetParam());
  const Problem problem = AskingAlike(crowded.shape, 180, 78, 160);
  const Problem other(crowded.shape, 180, 79);
  DeviceSteps steps(problem), other_steps(other);
  Trace trace(problem), ignored(other);
  const auto a = crowded.Make("a"), b = crowded.Make("b");
  ASSERT_GOOD(steps.RunSteps(*a, 6, 1, &trace));  // few blocks to tell of
  ASSERT_GOOD(RunSteps(*a, problem, 160, 20, &trace));
  ASSERT_GOOD(RunSteps(*b, other, 160, 20, &ignored));
  SessionOptions few = crowded.options;
  few.retrieve = 12;
  ASSERT_GOOD(a->SetOptions(few));
  ASSERT_GOOD(steps.RunSteps(*a, 174, 1, &trace));  // the next one finds no new block
  ASSERT_GOOD(other_steps.RunSteps(*b, 172, 1, &ignored));
  const auto before = std::make_pair(a->rows(), a->tokens());
  cuda_on_cpu::SetMemory(0);
  const Status failed = steps.RunStep(*a, 1, &trace);
  cuda_on_cpu::SetMemory(64 << 20);
  EXPECT_ERROR(failed, Errc::kResource, "cuda:0 has ");
  EXPECT_EQ(std::make_pair(a->rows(), a->tokens()), before);
  ASSERT_GOOD(steps.RunSteps(*a, 180, 1, &trace));
  auto engine = test::MemoryEngine();
  auto session = engine->CreateSession("s", crowded.shape, crowded.options, "{}").value();
  Trace expected(problem);
  ASSERT_GOOD(RunSteps(*session, problem, 6, 1, &expected));
  ASSERT_GOOD(RunSteps(*session, problem, 160, 20, &expected));
  ASSERT_GOOD(session->SetOptions(few));
  ASSERT_GOOD(RunSteps(*session, problem, 180, 1, &expected));
  ExpectSame(trace, expected);
}

// The launches of a step that is begun now, and aborted.
uint64_t LaunchesOf(Session& session, const SessionOptions& options, int32_t rows) {
  EXPECT_TRUE(session.SetOptions(options).has_value());
  const uint64_t launches = session.BeginStepOnDevice(rows).value()->launches();
  session.AbortStep();
  return launches;
}

// A committed session of some 30 rows whose last step there lacked nothing.
std::unique_ptr<Session> Begun(Engine& engine, const Problem& problem, DeviceSteps& steps) {
  SessionOptions options = OptionsOf(Selection::kPerToken);
  options.max_step_rows = 80;
  auto session = engine.CreateSession("s", problem.shape, options, "{}").value();
  Trace trace(problem);
  EXPECT_TRUE(RunSteps(*session, problem, 24, 20, &trace).has_value());
  while (session->rows() < 60 && LaunchesOf(*session, options, 1) == 0) {
    EXPECT_TRUE(steps.RunStep(*session, 1, &trace).has_value());
  }
  EXPECT_TRUE(session->Commit("{}").has_value());
  return session;
}

TEST_P(DeviceStepMemory, LaunchesAreOthersWhereAStepIsAnother) {
  const Problem problem(ShapeOf(GetParam(), DType::kF32), 300, 76);
  auto engine = test::MemoryEngine(OnDevice(1 << 20));
  DeviceSteps steps(problem);
  auto session = Begun(*engine, problem, steps);
  const auto of = [](Selection selection, int32_t stride) {
    SessionOptions options = OptionsOf(selection);
    options.query_stride = stride;
    return options;
  };
  const auto launches = [&](const SessionOptions& options, int32_t rows) {
    const uint64_t number = LaunchesOf(*session, options, rows);
    EXPECT_NE(number, 0u);
    EXPECT_EQ(LaunchesOf(*session, options, rows), number);
    return number;
  };
  const SessionOptions by_token = of(Selection::kPerToken, 1);
  const SessionOptions by_chunk = of(Selection::kPerChunk, 1);
  EXPECT_NE(launches(by_token, 20), launches(by_chunk, 20)) << "also: buffers grow no more";
  EXPECT_NE(launches(by_token, 2), launches(by_chunk, 2)) << "groups";
  EXPECT_EQ(launches(by_token, 1), LaunchesOf(*session, by_chunk, 1)) << "of one row";
  EXPECT_NE(launches(of(Selection::kPerChunk, 3), 4), launches(of(Selection::kPerChunk, 3), 5))
      << "rows";
  EXPECT_NE(launches(of(Selection::kPerChunk, 2), 3), launches(of(Selection::kPerChunk, 3), 3))
      << "which row is looked at";
  SessionOptions fewer = by_token;
  fewer.retrieve = 2;
  EXPECT_NE(launches(by_token, 1), launches(fewer, 1)) << "blocks";

  const uint64_t before = launches(by_token, 1);
  session->BeginStepOnDevice(1).value()->LimitScores(1);
  session->AbortStep();
  const uint64_t by_head = launches(by_token, 1);
  EXPECT_NE(by_head, before) << "heads at once";
  Trace trace(problem);
  ASSERT_GOOD(RunSteps(*session, problem, 300, 20, &trace));
  ASSERT_GOOD(session->Revert());
  while (LaunchesOf(*session, by_token, 1) == 0) ASSERT_GOOD(steps.RunStep(*session, 1, &trace));
  EXPECT_NE(launches(by_token, 1), by_head) << "vectors of the index are somewhere else";
}

// Whatever call fails while a longer step begins: buffers that are somewhere else by then are
// noticed.
TEST_P(DeviceStepMemory, LaunchesAreOthersAfterAStepThatDidNotBegin) {
  const Problem problem(ShapeOf(GetParam(), DType::kF32), 100, 77);
  auto engine = test::MemoryEngine(OnDevice(1 << 20));
  DeviceSteps steps(problem);
  const SessionOptions few = OptionsOf(Selection::kPerToken);
  auto session = Begun(*engine, problem, steps);
  SessionOptions many = few;
  many.retrieve = 20;
  uint64_t last = LaunchesOf(*session, few, 1);
  size_t allocated = cuda_on_cpu::Leftovers();
  int moved = 0;
  for (int call = 1;; ++call) {
    ASSERT_GOOD(session->SetOptions(many));
    cuda_on_cpu::FailCall(call);
    const bool begun = session->BeginStepOnDevice(80).has_value();
    const bool due = cuda_on_cpu::FailureIsDue();
    cuda_on_cpu::FailCall(0);
    if (begun) session->AbortStep();
    if (due) break;
    const uint64_t next = LaunchesOf(*session, few, 1);
    if (!begun && next != last) ++moved;
    last = next;
    // From the first call on, so that no two buffers move at once.
    if (cuda_on_cpu::Leftovers() != allocated) call = 0;
    allocated = cuda_on_cpu::Leftovers();
  }
  EXPECT_GE(moved, 3);  // what rows are told, what layers tell, what is worked in
}

INSTANTIATE_TEST_SUITE_P(Modes, DeviceStepMemory,
                         testing::Values(AttentionMode::kLandmark, AttentionMode::kUnmodified),
                         [](const auto& info) {
                           return std::string(AttentionModeName(info.param));
                         });

}  // namespace
}  // namespace cairn
