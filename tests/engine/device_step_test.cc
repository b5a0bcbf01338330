// Steps that a model on a device makes: they come to what the host comes to, wherever blocks are.
#include "engine/device_step.h"

#include <gtest/gtest.h>

#include <cmath>

#include "storage/block_table.h"
#include "storage/slab_pool.h"
#include "tests/engine/device_session.h"
#include "tests/engine/device_steps.h"
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

std::vector<float> OnHost(const Problem& problem, const SessionOptions& options, int32_t chunk) {
  auto engine = test::MemoryEngine();
  auto session = engine->CreateSession("s", problem.shape, options, "{}").value();
  Trace trace(problem);
  EXPECT_TRUE(RunSteps(*session, problem, problem.rows, chunk, &trace).has_value());
  return trace.o;
}

void ExpectSame(const Trace& found, const std::vector<float>& expected, double bound) {
  test::ExpectNear(found.o, {expected.begin(), expected.end()}, bound);
}

class DeviceStepTest : public testing::TestWithParam<AttentionMode> {};

TEST_P(DeviceStepTest, ComesToWhatTheHostComesTo) {
  uint64_t seed = 0;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kQ8}) {
    const Problem problem(ShapeOf(GetParam(), dtype), 60, 61);
    for (const Selection selection : {Selection::kPerToken, Selection::kPerChunk}) {
      for (const int32_t chunk : {1, 5, 20}) {
        if (chunk == 1 && (dtype == DType::kF16 || selection == Selection::kPerChunk)) continue;
        cuda_on_cpu::SetOrderSeed(++seed);
        SCOPED_TRACE(testing::Message()
                     << DTypeName(dtype) << " " << SelectionName(selection) << " chunk " << chunk);
        const SessionOptions options = OptionsOf(selection);
        auto engine = test::MemoryEngine(OnDevice(1 << 20));
        auto session = engine->CreateSession("s", problem.shape, options, "{}").value();
        ASSERT_TRUE(session->StepsOnDevice());
        Trace trace(problem);
        DeviceSteps steps(problem);
        ASSERT_GOOD(steps.RunSteps(*session, problem.rows, chunk, &trace));
        ExpectSame(trace, OnHost(problem, options, chunk), dtype == DType::kF32 ? 1e-5 : 5e-2);
        if (chunk == 1) {
          EXPECT_GT(steps.launched_ahead(), 10);
        }
      }
    }
  }
}

TEST_P(DeviceStepTest, ChoicesOfSomeRowsAreThoseOfTheHost) {
  SessionShape shape = ShapeOf(GetParam(), DType::kF32);
  shape.scale = 0.7f;
  const Problem problem(shape, 90, 62);
  SessionOptions options = OptionsOf(Selection::kPerChunk);
  options.query_stride = 3;
  auto engine = test::MemoryEngine(OnDevice(1 << 20));
  auto session = engine->CreateSession("s", problem.shape, options, "{}").value();
  Trace trace(problem);
  DeviceSteps steps(problem);
  ASSERT_GOOD(steps.RunSteps(*session, problem.rows, 8, &trace));
  ExpectSame(trace, OnHost(problem, options, 8), 1e-5);
}

TEST_P(DeviceStepTest, EveryBlockChosenIsDense) {
  const Problem problem(ShapeOf(GetParam(), DType::kF32), 75, 63);
  auto engine = test::MemoryEngine(OnDevice(1 << 20));
  SessionOptions options = OptionsOf(Selection::kPerChunk);
  options.retrieve = 75;
  auto session = engine->CreateSession("s", problem.shape, options, "{}").value();
  Trace trace(problem);
  DeviceSteps steps(problem);
  ASSERT_GOOD(steps.RunSteps(*session, problem.rows, 7, &trace));
  test::ExpectNear(trace.o, DenseOracle(problem), 1e-5);
}

// Enough blocks that most are codes.
TEST_P(DeviceStepTest, ChoicesByCodesAreThoseOfASearch) {
  const Problem problem(ShapeOf(GetParam(), DType::kF32), 1110, 68);
  SessionOptions options = OptionsOf(Selection::kPerChunk);
  options.index = IndexKind::kInt8;
  auto engine = test::MemoryEngine(OnDevice(1 << 20));
  auto session = engine->CreateSession("s", problem.shape, options, "{}").value();
  ASSERT_EQ(session->index_name(), "device int8");
  Trace by_search(problem);
  ASSERT_GOOD(RunSteps(*session, problem, 1080, 20, &by_search));
  ASSERT_GOOD(session->Commit("{}"));
  ASSERT_GOOD(RunSteps(*session, problem, problem.rows, 3, &by_search));
  ASSERT_GOOD(session->Revert());
  Trace found = by_search;
  DeviceSteps steps(problem);
  ASSERT_GOOD(steps.RunSteps(*session, problem.rows, 3, &found));
  ExpectSame(found, by_search.o, 1e-5);

  // So many blocks that they are chosen one after the other, for three rows and two heads.
  options.retrieve = 130;
  options.selection = Selection::kPerToken;
  ASSERT_GOOD(session->Revert());
  ASSERT_GOOD(session->SetOptions(options));
  ASSERT_GOOD(RunSteps(*session, problem, 1083, 3, &by_search));
  ASSERT_GOOD(session->Revert());
  ASSERT_GOOD(steps.RunSteps(*session, 1083, 3, &found));
  ExpectSame(found, by_search.o, 1e-5);
}

// Blocks come and go all the time.
TEST_P(DeviceStepTest, TheTightestTiersGiveTheSame) {
  const Problem problem(ShapeOf(GetParam(), DType::kF32), 640, 64);
  SessionOptions options = OptionsOf(Selection::kPerToken);
  options.retrieve = 8;
  const uint64_t slot =
      SlabPool::SlotBytes(problem.shape.block.payload_bytes()) + BlockTable::kBytesPerSlot;
  const uint64_t pinned = StepAttention::MostBlocksPerFetch(problem.shape, options);
  constexpr int64_t kBlocks = 640 / kBlockRows * kLayers * 2;
  ASSERT_LT(pinned, kBlocks - 64);
  EngineOptions tight = OnDevice(pinned * slot);
  tight.host_bytes = (pinned + 1) * slot;
  auto engine = test::MemoryEngine(tight);
  auto host = test::MemoryEngine();
  auto session = engine->CreateSession("s", problem.shape, options, "{}").value();
  auto on_host = host->CreateSession("s", problem.shape, options, "{}").value();
  Trace trace(problem), expected(problem);
  DeviceSteps steps(problem);
  ASSERT_GOOD(RunSteps(*session, problem, 480, 20, &trace));
  ASSERT_GOOD(steps.RunSteps(*session, 620, 20, &trace));
  ASSERT_GOOD(steps.RunSteps(*session, 640, 1, &trace));
  ASSERT_GOOD(RunSteps(*on_host, problem, 620, 20, &expected));
  ASSERT_GOOD(RunSteps(*on_host, problem, 640, 1, &expected));
  ExpectSame(trace, expected.o, 1e-5);
  const TierReport compute = engine->tiers()->Report()[0];
  EXPECT_GT(compute.bytes_in / problem.shape.block.payload_bytes(), pinned) << "nothing left";
}

// Steps on the device and of the host take turns, also within an unfinished block; and what was
// committed is what the host would have committed.
TEST_P(DeviceStepTest, StepsOfBothKindsTakeTurns) {
  const Problem problem(ShapeOf(GetParam(), DType::kF32), 90, 65);
  const SessionOptions options = OptionsOf(Selection::kPerToken);
  const std::vector<float> expected = OnHost(problem, options, 3);
  auto engine = test::MemoryEngine(OnDevice(1 << 20));
  Trace trace(problem);
  DeviceSteps steps(problem);
  auto session = engine->CreateSession("s", problem.shape, options, "{}").value();
  for (int turn = 0; session->rows() < problem.rows; ++turn) {
    if (turn % 3 == 0) {
      ASSERT_GOOD(RunStep(*session, problem, 3, &trace));
    } else {
      ASSERT_GOOD(steps.RunStep(*session, 3, &trace));
    }
    if (turn % 4 == 1) {
      ASSERT_GOOD(session->Commit("{}"));
    } else if (turn % 5 == 3) {  // again from the last commit
      ASSERT_GOOD(session->Revert());
    } else if (turn % 7 == 6) {
      ASSERT_GOOD(session->Commit("{}"));
      session.reset();
      session = engine->OpenSession("s", problem.shape, options).value();
    }
  }
  ExpectSame(trace, expected, 1e-5);
}

// The least tiers that a session may have are enough for one row, whatever it reads.
TEST(DeviceStepRoom, ManyLayersOfFixedBlocksFitTheLeastTiers) {
  SessionShape shape = test::MakeShape(AttentionMode::kUnmodified, 64, 4, 2, {4, 8, DType::kF32});
  const Problem problem(shape, 62, 71);
  SessionOptions options = OptionsOf(Selection::kPerToken);
  options.recent_tokens = 16;
  const uint64_t slot =
      SlabPool::SlotBytes(problem.shape.block.payload_bytes()) + BlockTable::kBytesPerSlot;
  const uint64_t pinned = StepAttention::MostBlocksPerFetch(problem.shape, options);
  EngineOptions tight = OnDevice(pinned * slot);
  tight.host_bytes = (pinned + 1) * slot;
  auto engine = test::MemoryEngine(tight), host = test::MemoryEngine();
  auto session = engine->CreateSession("s", shape, options, "{}").value();
  auto on_host = host->CreateSession("s", shape, options, "{}").value();
  Trace found(problem), expected(problem);
  DeviceSteps steps(problem);
  ASSERT_GOOD(RunSteps(*session, problem, 60, 20, &found));
  ASSERT_GOOD(steps.RunSteps(*session, 62, 1, &found));
  ASSERT_GOOD(RunSteps(*on_host, problem, 60, 20, &expected));
  ASSERT_GOOD(RunSteps(*on_host, problem, 62, 1, &expected));
  ExpectSame(found, expected.o, 1e-5);
}

// After a revert other blocks have the ordinals of those that are gone; the host made some of them.
TEST_P(DeviceStepTest, OtherBlocksTakeThePlaceOfRevertedOnes) {
  const SessionShape shape = ShapeOf(GetParam(), DType::kF32);
  const Problem first(shape, 50, 69), second(shape, 50, 70);
  const SessionOptions options = OptionsOf(Selection::kPerToken);
  Trace ignored(first), traces[2] = {Trace(second), Trace(second)};
  for (const bool on_device : {false, true}) {
    auto engine = on_device ? test::MemoryEngine(OnDevice(1 << 20)) : test::MemoryEngine();
    auto session = engine->CreateSession("s", shape, options, "{}").value();
    DeviceSteps of_first(first), of_second(second);
    const auto run = [&](const Problem& problem, int64_t end, bool there, Trace* trace) {
      DeviceSteps& steps = &problem == &first ? of_first : of_second;
      return there ? steps.RunSteps(*session, end, 1, trace)
                   : RunSteps(*session, problem, end, 1, trace);
    };
    ASSERT_GOOD(run(first, 30, on_device, &ignored));
    ASSERT_GOOD(session->Commit("{}"));
    ASSERT_GOOD(run(first, 35, on_device, &ignored));
    ASSERT_GOOD(session->Revert());
    ASSERT_GOOD(run(second, 33, false, &traces[on_device]));
    ASSERT_GOOD(run(second, 50, on_device, &traces[on_device]));
  }
  ExpectSame(traces[1], traces[0].o, 1e-5);
}

TEST_P(DeviceStepTest, ASessionMadeOnADeviceIsThatOfTheHost) {
  const Problem problem(ShapeOf(GetParam(), DType::kQ8), 50, 66);
  const SessionOptions options = OptionsOf(Selection::kPerToken);
  std::string digests[2];
  for (const bool on_device : {false, true}) {
    auto engine = on_device ? test::MemoryEngine(OnDevice(1 << 20)) : test::MemoryEngine();
    auto session = engine->CreateSession("s", problem.shape, options, "{}").value();
    Trace trace(problem);
    DeviceSteps steps(problem);
    if (on_device) {
      ASSERT_GOOD(steps.RunSteps(*session, problem.rows, 7, &trace));
    } else {
      ASSERT_GOOD(RunSteps(*session, problem, problem.rows, 7, &trace));
    }
    ASSERT_GOOD(session->Commit("{}"));
    digests[on_device] = SessionDigest(engine->catalog(), session->record(), "").value();
  }
  EXPECT_EQ(digests[0], digests[1]) << "keys and values of the same rows are other bytes";
}

TEST_P(DeviceStepTest, QueriesThatAreNoNumbersAreRefused) {
  Problem problem(ShapeOf(GetParam(), DType::kF32), 60, 67);
  auto engine = test::MemoryEngine(OnDevice(1 << 20));
  auto session =
      engine->CreateSession("s", problem.shape, OptionsOf(Selection::kPerToken), "{}").value();
  Trace trace(problem);
  DeviceSteps steps(problem);
  ASSERT_GOOD(steps.RunSteps(*session, 52, 4, &trace));
  float& number = problem.q[static_cast<size_t>((problem.rows + 52) * problem.q_width())];
  const float good = number;
  for (const float bad : {NAN, INFINITY}) {
    number = bad;
    EXPECT_ERROR(steps.RunStep(*session, 1, &trace), Errc::kInvalidArgument,
                 "queries of layer 1 hold NaN or infinity");
    EXPECT_EQ(session->rows(), 52);
  }
  number = good;
  ASSERT_GOOD(RunStep(*session, problem, 2, &trace));  // one of the host is as good
  ASSERT_GOOD(steps.RunSteps(*session, 60, 2, &trace));
}

INSTANTIATE_TEST_SUITE_P(Modes, DeviceStepTest,
                         testing::Values(AttentionMode::kLandmark, AttentionMode::kUnmodified),
                         [](const auto& info) {
                           return std::string(AttentionModeName(info.param));
                         });

TEST(DeviceStepOptions, WhatTheHostMustSeeIsNotForADevice) {
  const SessionShape shape = ShapeOf(AttentionMode::kUnmodified, DType::kF32);
  auto engine = test::MemoryEngine(OnDevice(1 << 20));
  auto session =
      engine->CreateSession("s", shape, OptionsOf(Selection::kPerTokenSharedHeads), "{}").value();
  EXPECT_FALSE(session->StepsOnDevice());
  SessionOptions options = OptionsOf(Selection::kPerToken);
  ASSERT_GOOD(session->SetOptions(options));
  EXPECT_TRUE(session->StepsOnDevice());
  StepLog log;
  session->Observe(&log);
  EXPECT_FALSE(session->StepsOnDevice());
  session->Observe(nullptr);
  MassLog missed;
  session->Certify(&missed);
  EXPECT_FALSE(session->StepsOnDevice());
  session->Certify(nullptr);
  EXPECT_TRUE(session->StepsOnDevice());
  options.mass_target = 0.9f;
  ASSERT_GOOD(session->SetOptions(options));
  EXPECT_FALSE(session->StepsOnDevice());
}

}  // namespace
}  // namespace cairn
