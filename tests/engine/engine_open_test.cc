// What an engine accepts, refuses and keeps apart.
#include <gtest/gtest.h>

#include <memory>

#include "engine/engine.h"
#include "storage/faulty_cold_store.h"
#include "tests/engine/session_problem.h"

namespace cairn {
namespace {

using test::MakeShape;
using test::Problem;
using test::RunSteps;
using test::Trace;

SessionShape Shape(DType dtype = DType::kF32) {
  return MakeShape(AttentionMode::kUnmodified, 2, 2, 1, {4, 8, dtype});
}

TEST(EngineTest, NewSessionsAreEmptyAndDurable) {
  MemoryColdStore cold;
  for (const bool first : {true, false}) {
    auto engine = Engine::Open(std::make_unique<FaultyColdStore>(cold), {});
    ASSERT_GOOD(engine);
    EXPECT_EQ(engine.value()->tiers(), nullptr);
    auto session = first ? engine.value()->CreateSession("a", Shape(), {}, "mine")
                         : engine.value()->OpenSession("a", Shape(), {});
    ASSERT_GOOD(session);
    EXPECT_NE(engine.value()->tiers(), nullptr);
    EXPECT_EQ(session.value()->rows(), 0);
    EXPECT_EQ(session.value()->tokens(), 0);
    EXPECT_EQ(session.value()->properties(), "mine");
    EXPECT_EQ(session.value()->record().name, "a");
  }
}

TEST(EngineTest, NamesAreTakenOnceAndMustExist) {
  auto engine = test::MemoryEngine();
  ASSERT_GOOD(engine->CreateSession("a", Shape(), {}, "{}"));
  EXPECT_ERROR(engine->CreateSession("a", Shape(), {}, "{}"), Errc::kExists, "'a'");
  EXPECT_ERROR(engine->CreateSession("../a", Shape(), {}, "{}"), Errc::kInvalidArgument, "../a");
  EXPECT_ERROR(engine->OpenSession("b", Shape(), {}), Errc::kNotFound, "'b'");
}

TEST(EngineTest, AnotherShapeIsAMismatchThatNamesBoth) {
  MemoryColdStore cold;
  const auto open = [&](const SessionShape& shape) {
    auto engine = Engine::Open(std::make_unique<FaultyColdStore>(cold), {});
    EXPECT_TRUE(engine.has_value());
    return engine.value()->OpenSession("a", shape, {});
  };
  {
    auto engine = Engine::Open(std::make_unique<FaultyColdStore>(cold), {});
    ASSERT_GOOD(engine);
    ASSERT_GOOD(engine.value()->CreateSession("a", Shape(), {}, "{}"));
  }
  EXPECT_ERROR(open(Shape(DType::kF16)), Errc::kMismatch, "f16");
  EXPECT_ERROR(open(Shape(DType::kF16)), Errc::kMismatch, "f32");
  SessionShape shape = Shape();
  shape.layers = 3;
  EXPECT_ERROR(open(shape), Errc::kMismatch, "session 'a'");
  shape = Shape();
  shape.mode = AttentionMode::kLandmark;
  EXPECT_ERROR(open(shape), Errc::kMismatch, "landmark");
}

TEST(EngineTest, BlocksOfOpenSessionsHaveOneSize) {
  auto engine = test::MemoryEngine();
  {
    const auto session = engine->CreateSession("a", Shape(), {}, "{}");
    ASSERT_GOOD(session);
    EXPECT_ERROR(engine->CreateSession("b", Shape(DType::kF16), {}, "{}"), Errc::kMismatch,
                 "blocks of 256 bytes and this one of 128");
    EXPECT_ERROR(engine->OpenSession("b", Shape(), {}), Errc::kNotFound, "'b'");
    EXPECT_ERROR(engine->OpenSession("a", Shape(DType::kF16), {}), Errc::kMismatch, "close");
  }
  // One that could not be opened is not open.
  EXPECT_ERROR(engine->OpenSession("a", Shape(DType::kF16), {}), Errc::kMismatch, "f32");
  ASSERT_GOOD(engine->CreateSession("b", Shape(DType::kF16), {}, "{}"));
}

// The tiers are made anew for them, each time with the budgets of the engine.
TEST(EngineTest, SessionsOfOtherBlocksTakeTurns) {
  const Problem wide(Shape(), 60, 31), narrow(Shape(DType::kF16), 60, 31);
  SessionOptions options;
  options.retrieve = 2;
  options.recent_tokens = 4;
  options.max_step_rows = 10;
  Trace wide_alone(wide), narrow_alone(narrow), wide_turns(wide), narrow_turns(narrow);
  for (const auto& [problem, trace] : {std::pair{&wide, &wide_alone}, {&narrow, &narrow_alone}}) {
    auto engine = test::MemoryEngine();
    auto session = engine->CreateSession("s", problem->shape, options, "{}");
    ASSERT_GOOD(session);
    ASSERT_GOOD(RunSteps(*session.value(), *problem, 60, 10, trace));
  }
  const uint64_t least = test::LeastHostBytes(Shape(), options);
  auto engine = test::MemoryEngine({.host_bytes = 2 * least, .compute_bytes = least});
  for (int64_t end = 20; end <= 60; end += 20) {
    for (const auto& [problem, trace] : {std::pair{&wide, &wide_turns}, {&narrow, &narrow_turns}}) {
      const char* const name = problem == &wide ? "wide" : "narrow";
      auto session = end == 20 ? engine->CreateSession(name, problem->shape, options, "{}")
                               : engine->OpenSession(name, problem->shape, options);
      ASSERT_GOOD(session);
      ASSERT_GOOD(RunSteps(*session.value(), *problem, end, 10, trace));
      ASSERT_GOOD(session.value()->Commit("{}"));
    }
  }
  EXPECT_EQ(wide_turns.o, wide_alone.o);
  EXPECT_EQ(narrow_turns.o, narrow_alone.o);
}

TEST(EngineTest, BadShapesAndOptionsMakeNoSession) {
  auto engine = test::MemoryEngine();
  SessionShape shape = Shape();
  shape.query_heads = 0;
  EXPECT_ERROR(engine->CreateSession("a", shape, {}, "{}"), Errc::kInvalidArgument, "query heads");
  SessionOptions options;
  options.retrieve = 5000;
  EXPECT_ERROR(engine->CreateSession("a", Shape(), options, "{}"), Errc::kInvalidArgument,
               "--retrieve");
  EXPECT_ERROR(engine->OpenSession("a", Shape(), {}), Errc::kNotFound, "'a'");
}

TEST(EngineTest, TooSmallABudgetSaysHowMuchIsNeeded) {
  const uint64_t least = test::LeastHostBytes(Shape(), {});
  auto small = test::MemoryEngine({.host_bytes = least - 1});
  EXPECT_ERROR(small->CreateSession("a", Shape(), {}, "{}"), Errc::kResource, "");
  auto enough = test::MemoryEngine({.host_bytes = least});
  ASSERT_GOOD(enough->CreateSession("a", Shape(), {}, "{}"));
}

TEST(EngineTest, EverySessionsBudgetIsLookedAt) {
  SessionOptions greedy;
  greedy.retrieve = 600;
  const uint64_t least = test::LeastHostBytes(Shape(), {});
  ASSERT_LT(least, test::LeastHostBytes(Shape(), greedy));
  auto engine = test::MemoryEngine({.host_bytes = least});
  ASSERT_GOOD(engine->CreateSession("a", Shape(), {}, "{}"));
  EXPECT_ERROR(engine->CreateSession("b", Shape(), greedy, "{}"), Errc::kResource, "--host-memory");
  EXPECT_ERROR(engine->OpenSession("a", Shape(), greedy), Errc::kResource, "--host-memory");
  EXPECT_ERROR(engine->OpenSession("b", Shape(), {}), Errc::kNotFound, "'b'");
  ASSERT_GOOD(engine->OpenSession("a", Shape(), {}));
  auto other = test::MemoryEngine({.host_bytes = 2 * least, .compute_bytes = least});
  ASSERT_GOOD(other->CreateSession("a", Shape(), {}, "{}"));
  EXPECT_ERROR(other->OpenSession("a", Shape(), greedy), Errc::kResource, "--compute-memory");
}

// Sessions share tiers and catalog, not blocks.
TEST(EngineTest, SessionsDoNotSeeEachOther) {
  const Problem one(Shape(), 60, 31), two(Shape(), 60, 32);
  SessionOptions options;
  options.retrieve = 2;
  options.recent_tokens = 4;
  options.max_step_rows = 10;
  Trace alone_one(one), alone_two(two), mixed_one(one), mixed_two(two);
  for (const auto& [problem, trace] : {std::pair{&one, &alone_one}, {&two, &alone_two}}) {
    auto engine = test::MemoryEngine();
    auto session = engine->CreateSession("s", Shape(), options, "{}");
    ASSERT_GOOD(session);
    ASSERT_GOOD(RunSteps(*session.value(), *problem, 60, 10, trace));
  }
  ASSERT_NE(alone_one.o, alone_two.o);
  auto engine = test::MemoryEngine();
  auto first = engine->CreateSession("one", Shape(), options, "{}");
  auto second = engine->CreateSession("two", Shape(), options, "{}");
  ASSERT_GOOD(first);
  ASSERT_GOOD(second);
  for (int64_t end = 10; end <= 60; end += 10) {
    ASSERT_GOOD(RunSteps(*first.value(), one, end, 10, &mixed_one));
    ASSERT_GOOD(RunSteps(*second.value(), two, end, 10, &mixed_two));
    if (end == 30) ASSERT_GOOD(first.value()->Commit("{}"));
  }
  EXPECT_EQ(mixed_one.o, alone_one.o);
  EXPECT_EQ(mixed_two.o, alone_two.o);
}

TEST(EngineTest, ReadOnlyEnginesReadButDoNotMake) {
  MemoryColdStore cold;
  {
    auto engine = Engine::Open(std::make_unique<FaultyColdStore>(cold), {});
    ASSERT_GOOD(engine);
    ASSERT_GOOD(engine.value()->CreateSession("a", Shape(), {}, "{}"));
  }
  auto reader = Engine::Open(std::make_unique<FaultyColdStore>(cold), {.read_only = true});
  ASSERT_GOOD(reader);
  auto list = reader.value()->catalog().List();
  ASSERT_GOOD(list);
  ASSERT_EQ(list.value().sessions.size(), 1u);
  EXPECT_EQ(list.value().sessions[0].name, "a");
  ASSERT_GOOD(reader.value()->OpenSession("a", Shape(), {}));
}

}  // namespace
}  // namespace cairn
