// Steps on a device among others: of the host, of other sessions, after reverts, and after calls
// that failed.
#include <gtest/gtest.h>

#include "storage/access_trace.h"
#include "storage/block_table.h"
#include "storage/slab_pool.h"
#include "tests/engine/device_session.h"
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

// Tiers that hold the blocks of one fetch.
EngineOptions Tight(const SessionShape& shape, const SessionOptions& options) {
  const uint64_t slot =
      SlabPool::SlotBytes(shape.block.payload_bytes()) + BlockTable::kBytesPerSlot;
  const uint64_t pinned = StepAttention::MostBlocksPerFetch(shape, options);
  EngineOptions tight = OnDevice(pinned * slot);
  tight.host_bytes = (pinned + 1) * slot;
  return tight;
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
    auto engine = on_device ? test::MemoryEngine(Tight(shape, many)) : test::MemoryEngine();
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

// One session holds what a device has room for, but a part that is left to others: fixed blocks of
// all layers of the other one do not fit there, those of one layer do.
TEST(DeviceStepRoom, AnotherSessionHasRoomForALayer) {
  SessionShape shape = test::MakeShape(AttentionMode::kUnmodified, 25, 4, 2, {4, 8, DType::kF32});
  const Problem problem(shape, 63, 79);
  SessionOptions options = OptionsOf(Selection::kPerToken), greedy = options;
  options.recent_tokens = greedy.recent_tokens = 16;
  greedy.retrieve = 20;
  auto engine = test::MemoryEngine(Tight(shape, options));
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

// Sessions of which each takes nearly all of the tightest tier: of its 512 blocks, a layer
// wants 96.
struct Crowded {
  explicit Crowded(AttentionMode mode)
      : shape(test::MakeShape(mode, 4, 4, 4, {test::kBlockRows, 8, DType::kF32})),
        options(OptionsOf(Selection::kPerToken)) {
    options.retrieve = 24;
    engine = test::MemoryEngine(Tight(shape, options));
  }
  std::unique_ptr<Session> Make(const std::string& name) {
    return engine->CreateSession(name, shape, options, "{}").value();
  }

  SessionShape shape;
  SessionOptions options;
  std::unique_ptr<Engine> engine;
};

// A problem whose rows ask the same from `row` on, so that they choose the same, or nearly.
Problem AskingAlike(const SessionShape& shape, int64_t rows, uint64_t stream, int64_t row) {
  Problem problem(shape, rows, stream);
  for (int32_t layer = 0; layer < shape.layers; ++layer) {
    for (int64_t later = row + 1; later < rows; ++later) {
      std::copy_n(problem.Q(layer, row), problem.q_width(),
                  problem.q.data() + (layer * rows + later) * problem.q_width());
    }
  }
  return problem;
}

TEST_P(DeviceStepTurns, SessionsAtRestGiveUpTheirBlocks) {
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

// Where its blocks lay there are another's by then, and no memory is left to tell the device.
TEST_P(DeviceStepTurns, ATableThatCannotFollowIsNotRead) {
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

TEST_P(DeviceStepTurns, LaunchesAreOthersWhereAStepIsAnother) {
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
TEST_P(DeviceStepTurns, LaunchesAreOthersAfterAStepThatDidNotBegin) {
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

INSTANTIATE_TEST_SUITE_P(Modes, DeviceStepTurns,
                         testing::Values(AttentionMode::kLandmark, AttentionMode::kUnmodified),
                         [](const auto& info) {
                           return std::string(AttentionModeName(info.param));
                         });

// A layer wants 32 blocks, four layers more than one session leaves to others.
TEST(DeviceStepOptions, ASessionAtRestCostsNoOtherItsHits) {
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
