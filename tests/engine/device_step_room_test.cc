// Steps on a device that has not room for all sessions.
#include <gtest/gtest.h>

#include "tests/engine/device_crowd.h"
#include "tests/engine/device_steps.h"

namespace cairn {
namespace {

using test::AskingAlike;
using test::Crowded;
using test::DeviceSteps;
using test::OptionsOf;
using test::Problem;
using test::Trace;

void ExpectSame(const Trace& found, const Trace& expected) {
  test::ExpectNear(found.o, {expected.o.begin(), expected.o.end()}, 1e-5);
}

class DeviceStepRoom : public testing::TestWithParam<AttentionMode> {};

TEST_P(DeviceStepRoom, SessionsAtRestGiveUpTheirBlocks) {
  Crowded crowded(GetParam());
  const Problem problems[] = {{crowded.shape, 185, 76}, {crowded.shape, 185, 77}};
  DeviceSteps steps[] = {DeviceSteps(problems[0]), DeviceSteps(problems[1])};
  Trace traces[] = {Trace(problems[0]), Trace(problems[1])};
  std::unique_ptr<Session> sessions[] = {crowded.Make("a"), crowded.Make("b")};
  for (int i = 0; i < 2; ++i) {
    ASSERT_GOOD(RunSteps(*sessions[i], problems[i], 160, 20, &traces[i]));
  }
  for (const int64_t end : {170, 175, 185}) {
    for (int i = 0; i < 2; ++i) {
      const bool on_device = end != 175 || i == 0;
      ASSERT_GOOD(on_device ? steps[i].RunSteps(*sessions[i], end, 1, &traces[i])
                            : RunSteps(*sessions[i], problems[i], end, 1, &traces[i]));
    }
  }
  for (int i = 0; i < 2; ++i) {
    auto engine = test::MemoryEngine();
    auto session = engine->CreateSession("s", crowded.shape, crowded.options, "{}").value();
    Trace trace(problems[i]);
    ASSERT_GOOD(RunSteps(*session, problems[i], 160, 20, &trace));
    ASSERT_GOOD(RunSteps(*session, problems[i], 185, 1, &trace));
    ExpectSame(traces[i], trace);
  }
}

INSTANTIATE_TEST_SUITE_P(Modes, DeviceStepRoom,
                         testing::Values(AttentionMode::kLandmark, AttentionMode::kUnmodified),
                         [](const auto& info) {
                           return std::string(AttentionModeName(info.param));
                         });

// Fixed blocks of all layers are nearly half of the tier, which another session holds.
TEST(DeviceStepRoomOf, AnotherSessionHasRoomForALayer) {
  SessionShape shape = test::MakeShape(AttentionMode::kUnmodified, 25, 4, 2, {4, 8, DType::kF32});
  const Problem problem(shape, 63, 79);
  SessionOptions options = OptionsOf(Selection::kPerToken), greedy = options;
  options.recent_tokens = greedy.recent_tokens = 16;
  greedy.retrieve = 20;
  auto engine = test::MemoryEngine(test::TightTiers(shape, options));
  auto one = engine->CreateSession("one", shape, greedy, "{}").value();
  auto other = engine->CreateSession("other", shape, options, "{}").value();
  Trace ignored(problem), found(problem), expected(problem);
  DeviceSteps steps(problem);
  ASSERT_GOOD(RunSteps(*one, problem, 60, 20, &ignored));
  ASSERT_GOOD(RunSteps(*other, problem, 60, 20, &found));
  ASSERT_GOOD(steps.RunSteps(*one, 62, 1, &ignored));
  ASSERT_GOOD(steps.RunSteps(*other, 63, 1, &found));
  auto host = test::MemoryEngine();
  auto on_host = host->CreateSession("other", shape, options, "{}").value();
  ASSERT_GOOD(RunSteps(*on_host, problem, 60, 20, &expected));
  ASSERT_GOOD(RunSteps(*on_host, problem, 63, 1, &expected));
  ExpectSame(found, expected);
}

// A layer wants 32 blocks, four layers more than one session leaves to others.
TEST(DeviceStepRoomOf, ASessionAtRestCostsNoOtherItsHits) {
  Crowded crowded(AttentionMode::kUnmodified);
  const Problem problem(crowded.shape, 172, 81);
  const Problem other = AskingAlike(crowded.shape, 176, 82, 160);
  DeviceSteps steps(problem), other_steps(other);
  Trace trace(problem), other_trace(other);
  const auto a = crowded.Make("a"), b = crowded.Make("b");
  ASSERT_GOOD(RunSteps(*a, problem, 160, 20, &trace));
  ASSERT_GOOD(RunSteps(*b, other, 160, 20, &other_trace));
  ASSERT_GOOD(steps.RunSteps(*a, 172, 1, &trace));
  crowded.options.retrieve = 8;
  ASSERT_GOOD(b->SetOptions(crowded.options));
  ASSERT_GOOD(other_steps.RunSteps(*b, 176, 1, &other_trace));
  EXPECT_GT(other_steps.launched_ahead(), 4);
}

}  // namespace
}  // namespace cairn
