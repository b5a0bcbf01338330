// Which blocks steps on a device find there again: those that they used often.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/engine/device_crowd.h"
#include "tests/engine/device_steps.h"

namespace cairn {
namespace {

using test::AskingAlike;
using test::Crowded;
using test::DeviceSteps;
using test::Problem;
using test::Trace;

constexpr int64_t kRead = 480;          // rows: 120 blocks of each of 16 partitions
constexpr int64_t kOften = kRead + 12;  // rows that ask the same
constexpr int64_t kMostStray = 3;       // rows behind them that ask something else, each of its own
constexpr int64_t kRows = kOften + kMostStray + 8;

// Rows ask the same from kRead on, but for `stray` of them.
Problem AskingAgain(const SessionShape& shape, uint64_t stream, int64_t stray) {
  Problem problem = AskingAlike(shape, kRows, stream, kRead);
  const Problem other(shape, kRows, stream + 100);
  for (int32_t layer = 0; layer < shape.layers; ++layer) {
    std::copy_n(other.Q(layer, kOften), stray * problem.q_width(),
                problem.q.data() + (layer * kRows + kOften) * problem.q_width());
  }
  return problem;
}

// What steps brought to the device and read from disk.
struct Traffic {
  uint64_t to_device = 0, from_disk = 0;  // blocks
};

class DeviceStepReuse : public testing::TestWithParam<AttentionMode> {
 protected:
  /// A session that has read all but the last rows, and chooses so many blocks from now on.
  std::unique_ptr<Session> Read(const std::string& name, const Problem& problem, int32_t retrieve,
                                Trace* trace) {
    SessionOptions options = crowded_.options;
    options.retrieve = 1;  // which is quicker
    options.selection = Selection::kPerChunk;
    auto session = crowded_.engine->CreateSession(name, crowded_.shape, options, "{}").value();
    EXPECT_TRUE(RunSteps(*session, problem, kRead, options.max_step_rows, trace).has_value());
    options.retrieve = retrieve;
    options.selection = Selection::kPerToken;
    EXPECT_TRUE(session->SetOptions(options).has_value());
    return session;
  }
  Traffic Moved() const {
    const std::vector<TierReport> tiers = crowded_.engine->tiers()->Report();
    return {tiers.front().bytes_in / crowded_.shape.block.payload_bytes(), tiers.back().hit_blocks};
  }
  /// Steps of one row there, up to `end`.
  Traffic Steps(DeviceSteps& steps, Session& session, int64_t end, Trace* trace) const {
    const Traffic before = Moved();
    EXPECT_TRUE(steps.RunSteps(session, end, 1, trace).has_value());
    const Traffic after = Moved();
    return {after.to_device - before.to_device, after.from_disk - before.from_disk};
  }

  Crowded crowded_{GetParam()};
};

// A step reads some 190 blocks of 1,920. The device has 512 slots and so has the host; three steps
// that ask something else want more.
TEST_P(DeviceStepReuse, OtherBlocksDoNotTakeThePlaceOfThoseUsedOften) {
  const Problem problem = AskingAgain(crowded_.shape, 83, kMostStray);
  Trace trace(problem);
  DeviceSteps steps(problem);
  const auto session = Read("a", problem, 12, &trace);
  const Traffic first = Steps(steps, *session, kRead + 1, &trace);
  Steps(steps, *session, kOften, &trace);
  const Traffic stray = Steps(steps, *session, kOften + kMostStray, &trace);
  EXPECT_GT(stray.to_device + first.to_device, 512u);
  const Traffic again = Steps(steps, *session, kOften + kMostStray + 1, &trace);
  EXPECT_LT(again.to_device, first.to_device / 3);
  EXPECT_LT(again.from_disk, first.to_device / 3);
}

// Another session takes the place of blocks that were used once, though later.
TEST_P(DeviceStepReuse, AnotherSessionTakesThePlaceOfThoseUsedOnce) {
  constexpr int64_t kStray = 2;
  const Problem problem = AskingAgain(crowded_.shape, 84, kStray);
  const Problem other = AskingAgain(crowded_.shape, 85, 0);
  Trace trace(problem), other_trace(other);
  DeviceSteps steps(problem), other_steps(other);
  const auto a = Read("a", problem, 8, &trace), b = Read("b", other, 8, &other_trace);
  const Traffic first = Steps(steps, *a, kRead + 1, &trace);
  Steps(steps, *a, kOften + kStray, &trace);
  const Traffic others = Steps(other_steps, *b, kRead + 1, &other_trace);
  EXPECT_GT(others.to_device, 512u / 8) << "more than is left to others";
  const Traffic again = Steps(steps, *a, kOften + kStray + 1, &trace);
  EXPECT_LT(again.to_device, first.to_device / 4);
  EXPECT_LT(again.from_disk, first.to_device / 4);
}

INSTANTIATE_TEST_SUITE_P(Modes, DeviceStepReuse,
                         testing::Values(AttentionMode::kLandmark, AttentionMode::kUnmodified),
                         [](const auto& info) {
                           return std::string(AttentionModeName(info.param));
                         });

}  // namespace
}  // namespace cairn
