// Steps on a device among others: of the host, of other kinds, and after reverts.
#include <gtest/gtest.h>

#include "storage/access_trace.h"
#include "tests/engine/device_crowd.h"
#include "tests/engine/device_steps.h"
#include "tests/support/cuda_on_cpu/thread_block.h"
#include "tests/support/scratch_directory.h"

namespace cairn {
namespace {

using test::DeviceSteps;
using test::OnDevice;
using test::OptionsOf;
using test::Problem;
using test::ShapeOf;
using test::TightTiers;
using test::Trace;

void ExpectSame(const Trace& found, const Trace& expected) {
  test::ExpectNear(found.o, {expected.o.begin(), expected.o.end()}, 1e-5);
}

// What a session reads on the host, in steps of so many rows.
Trace OnHost(const Problem& problem, const SessionOptions& options, int32_t chunk) {
  auto engine = test::MemoryEngine();
  auto session = engine->CreateSession("s", problem.shape, options, "{}").value();
  Trace trace(problem);
  EXPECT_TRUE(RunSteps(*session, problem, problem.rows, chunk, &trace).has_value());
  return trace;
}

class DeviceStepTurns : public testing::TestWithParam<AttentionMode> {};

// Other blocks have the ordinals of those that are gone, and the host has added them.
TEST_P(DeviceStepTurns, ARevertIsSeenByTheNextStepThere) {
  const SessionShape shape = ShapeOf(GetParam(), DType::kF32);
  const Problem gone(shape, 60, 71), kept(shape, 60, 72);
  const SessionOptions options = OptionsOf(Selection::kPerToken);
  auto engine = test::MemoryEngine(OnDevice(1 << 20));
  auto session = engine->CreateSession("s", shape, options, "{}").value();
  ASSERT_GOOD(session->Commit("{}"));
  Trace ignored(gone), trace(kept);
  ASSERT_GOOD(RunSteps(*session, gone, 40, 4, &ignored));
  ASSERT_GOOD(DeviceSteps(gone).RunSteps(*session, 43, 1, &ignored));
  ASSERT_GOOD(session->Revert());
  ASSERT_GOOD(RunSteps(*session, kept, 40, 4, &trace));
  ASSERT_GOOD(DeviceSteps(kept).RunSteps(*session, 60, 4, &trace));
  ExpectSame(trace, OnHost(kept, options, 4));
}

// Tiers that hold the blocks of a layer, and not the recent ones of all, with steps of both kinds.
TEST_P(DeviceStepTurns, TheTightestTiersServeBothKinds) {
  const SessionShape shape =
      test::MakeShape(GetParam(), 4, 4, 4, {test::kBlockRows, 8, DType::kF32});
  const Problem problem(shape, 270, 73);
  const SessionOptions few = OptionsOf(Selection::kPerToken);
  SessionOptions many = few;
  many.retrieve = 8;
  many.recent_tokens = 160;
  Trace traces[2] = {Trace(problem), Trace(problem)};
  DeviceSteps steps(problem);
  for (const bool on_device : {false, true}) {
    auto engine = on_device ? test::MemoryEngine(TightTiers(shape, many)) : test::MemoryEngine();
    auto session = engine->CreateSession("s", shape, many, "{}").value();
    Trace* const trace = &traces[on_device];
    ASSERT_GOOD(session->SetOptions(few));
    ASSERT_GOOD(RunSteps(*session, problem, 240, 20, trace));
    ASSERT_GOOD(session->SetOptions(many));
    for (const bool host_turn : {false, true, false}) {
      ASSERT_GOOD(host_turn || !on_device ? RunStep(*session, problem, 10, trace)
                                          : steps.RunStep(*session, 10, trace));
    }
  }
  ExpectSame(traces[1], traces[0]);
}

// Each kind goes on within the block in which the other one left off.
TEST_P(DeviceStepTurns, KindsTakeTurnsWithinABlock) {
  const Problem problem(ShapeOf(GetParam(), DType::kF32), 40, 78);
  const SessionOptions options = OptionsOf(Selection::kPerToken);
  auto engine = test::MemoryEngine(OnDevice(1 << 20));
  auto session = engine->CreateSession("s", problem.shape, options, "{}").value();
  Trace trace(problem);
  DeviceSteps steps(problem);
  while (session->rows() < problem.rows) {
    ASSERT_GOOD(session->rows() % 2 == 0 ? steps.RunStep(*session, 1, &trace)
                                         : RunStep(*session, problem, 1, &trace));
  }
  ExpectSame(trace, OnHost(problem, options, 1));
}

TEST_P(DeviceStepTurns, StepsAreCountedByWhoMadeThem) {
  const Problem problem(ShapeOf(GetParam(), DType::kF32), 30, 83);
  Trace trace(problem);
  DeviceSteps steps(problem);
  for (const bool there : {true, false}) {
    auto engine = there ? test::MemoryEngine(OnDevice(1 << 20)) : test::MemoryEngine();
    const auto make = [&](const char* name) {
      return engine->CreateSession(name, problem.shape, OptionsOf(Selection::kPerToken), "{}")
          .value();
    };
    const auto a = make("a"), b = make("b");
    ASSERT_GOOD(RunSteps(*a, problem, 10, 5, &trace));
    ASSERT_GOOD(RunSteps(*b, problem, 30, 10, &trace));
    EXPECT_EQ(engine->steps().by_host, there ? 5u : 0u);
    EXPECT_EQ(engine->steps().on_device, 0u);
    if (!there) continue;
    ASSERT_GOOD(a->BeginStepOnDevice(3));
    a->AbortStep();
    ASSERT_GOOD(a->BeginStep(3));
    a->AbortStep();
    ASSERT_GOOD(steps.RunSteps(*a, 30, 5, &trace));
    EXPECT_EQ(engine->steps().on_device, 4u);
    EXPECT_EQ(engine->steps().by_host, 5u);
  }
}

// How a step chooses, and how many rows it has.
struct Turn {
  int32_t rows, retrieve;
  Selection selection = Selection::kPerToken;
};

Status Take(Session& session, const Turn& turn) {
  SessionOptions options = OptionsOf(turn.selection);
  options.retrieve = turn.retrieve;
  options.query_stride = 3;
  return session.SetOptions(options);
}

// Steps of turns from row 60 on, there and on the host; `limit`: floats of scores at once, or 0.
void ExpectTurnsToBeThoseOfTheHost(const SessionShape& shape, const std::vector<Turn>& turns,
                                   size_t limit) {
  const Problem problem(shape, 100, 75);
  Trace traces[2] = {Trace(problem), Trace(problem)};
  DeviceSteps steps(problem);
  for (const bool on_device : {false, true}) {
    auto engine = on_device ? test::MemoryEngine(OnDevice(1 << 20)) : test::MemoryEngine();
    auto session = engine->CreateSession("s", shape, OptionsOf(Selection::kPerToken), "{}").value();
    ASSERT_GOOD(RunSteps(*session, problem, 60, 20, &traces[on_device]));
    if (on_device && limit > 0) {
      ASSERT_GOOD(Take(*session, turns[0]));
      session->BeginStepOnDevice(1).value()->LimitScores(limit);
      session->AbortStep();
    }
    for (const Turn& turn : turns) {
      ASSERT_GOOD(Take(*session, turn));
      ASSERT_GOOD(on_device ? steps.RunStep(*session, turn.rows, &traces[1])
                            : RunStep(*session, problem, turn.rows, &traces[0]));
    }
  }
  ExpectSame(traces[1], traces[0]);
}

// Near blocks begin or end where those of the step before did; and of three blocks that a step
// adds, the next one scores one as a far one.
TEST_P(DeviceStepTurns, EachStepMayChooseOtherwise) {
  for (uint64_t seed = 3; seed < 6; ++seed) {
    cuda_on_cpu::SetOrderSeed(seed);
    ExpectTurnsToBeThoseOfTheHost(ShapeOf(GetParam(), DType::kF32),
                                  {{2, 3},
                                   {1, 4},
                                   {1, 3},
                                   {4, 4},
                                   {4, 5},
                                   {3, 2, Selection::kPerChunk},
                                   {1, 2},
                                   {3, 6, Selection::kPerChunk},
                                   {5, 6},
                                   {14, 2},
                                   {2, 2}},
                                  0);
  }
}

// A step that chooses all blocks scores none, and may need more room.
TEST_P(DeviceStepTurns, NearKeysAreThereAfterAStepThatNeededNone) {
  ExpectTurnsToBeThoseOfTheHost(ShapeOf(GetParam(), DType::kF32), {{1, 3}, {1, 30}, {1, 3}}, 0);
}

TEST_P(DeviceStepTurns, HeadsAndThenRowsTakeTurnsWhereScoresAreMany) {
  const SessionShape shape =
      test::MakeShape(GetParam(), 2, 6, 3, {test::kBlockRows, 8, DType::kF32});
  const std::vector<Turn> turns = {{1, 3}, {4, 3}, {7, 3, Selection::kPerChunk}};
  // One row at once; two or so of four; two heads of four rows.
  for (const size_t limit : {size_t{1}, size_t{70}, size_t{300}}) {
    ExpectTurnsToBeThoseOfTheHost(shape, turns, limit);
  }
}

// Once a layer has lacked something, those behind it are waited for.
TEST_P(DeviceStepTurns, WhatLayersLackCostsOneMorePassAtMost) {
  const SessionShape shape =
      test::MakeShape(GetParam(), 5, 4, 2, {test::kBlockRows, 8, DType::kF32});
  const Problem problem(shape, 200, 80);
  SessionOptions options = OptionsOf(Selection::kPerToken);
  options.retrieve = 1;
  DeviceSteps steps(problem);
  Trace trace(problem);
  auto engine = test::MemoryEngine(OnDevice(1 << 20));
  auto session = engine->CreateSession("s", shape, options, "{}").value();
  ASSERT_GOOD(RunSteps(*session, problem, 160, 20, &trace));
  int64_t most = 0;
  for (int turn = 0; session->rows() < 200; ++turn) {
    options.retrieve = turn % 8 == 7 ? 4 : 1;
    ASSERT_GOOD(session->SetOptions(options));
    const int64_t before = steps.layers_again();
    ASSERT_GOOD(steps.RunStep(*session, 1, &trace));
    most = std::max(most, steps.layers_again() - before);
  }
  EXPECT_GT(most, 0);
  EXPECT_LE(most, shape.layers);
}

INSTANTIATE_TEST_SUITE_P(Modes, DeviceStepTurns,
                         testing::Values(AttentionMode::kLandmark, AttentionMode::kUnmodified),
                         [](const auto& info) {
                           return std::string(AttentionModeName(info.param));
                         });

TEST(DeviceStepOptions, TracesAreOfTheHost) {
  const test::ScratchDirectory directory;
  const auto trace = AccessTrace::Create(directory.File("trace")).value();
  EngineOptions traced = OnDevice(1 << 20);
  traced.trace = trace.get();
  for (const EngineOptions& options : {OnDevice(1 << 20), traced}) {
    auto engine = test::MemoryEngine(options);
    auto session = engine->CreateSession("s", ShapeOf(AttentionMode::kUnmodified, DType::kF32),
                                         OptionsOf(Selection::kPerToken), "{}");
    EXPECT_EQ(session.value()->StepsOnDevice(), options.trace == nullptr);
  }
}

}  // namespace
}  // namespace cairn
