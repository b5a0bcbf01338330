// Sessions whose chosen blocks are attended on a device: they choose what they choose on the host,
// come to the same outputs within rounding. On a GPU, or on tests/support/cuda_on_cpu, with the
// kernels that CUDA's compiler builds.
#include "tests/engine/device_session.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/certificate.h"
#include "engine/engine.h"
#include "index/faiss_gpu.h"
#include "storage/block_table.h"
#include "storage/slab_pool.h"
#include "tests/support/cuda_on_cpu/thread_block.h"

namespace cairn {
namespace {

using test::kBlockRows;
using test::kLayers;
using test::OnDevice;
using test::OptionsOf;
using test::Problem;
using test::ShapeOf;
using test::Trace;

void Read(const EngineOptions& engine_options, const Problem& problem, Selection selection,
          int32_t chunk, Trace* trace) {
  auto engine = test::MemoryEngine(engine_options);
  auto session = engine->CreateSession("s", problem.shape, OptionsOf(selection), "{}");
  ASSERT_GOOD(session);
  ASSERT_GOOD(RunSteps(*session.value(), problem, problem.rows, chunk, trace));
}

void ExpectSame(const Trace& found, const Trace& expected, double bound) {
  ASSERT_EQ(found.choices.size(), expected.choices.size());
  for (size_t step = 0; step < found.choices.size(); ++step) {
    for (int32_t layer = 0; layer < kLayers; ++layer) {
      const auto at = static_cast<size_t>(layer);
      EXPECT_EQ(found.choices[step][at].blocks, expected.choices[step][at].blocks);
    }
  }
  test::ExpectNear(found.o, {expected.o.begin(), expected.o.end()}, bound);
}

class DeviceSessionTest : public testing::TestWithParam<AttentionMode> {};

TEST_P(DeviceSessionTest, ReadsWhatItReadsOnTheHost) {
  uint64_t seed = 0;
  for (const DType dtype : {DType::kF32, DType::kF16, DType::kQ8}) {
    const Problem problem(ShapeOf(GetParam(), dtype), 90, 51);
    for (const Selection selection : {Selection::kPerToken, Selection::kPerChunk}) {
      // Few rows and many: two kernels. A session of f16 may be rounded to bf16 on the host.
      for (const int32_t chunk : {1, 5, 20}) {
        cuda_on_cpu::SetOrderSeed(++seed);
        SCOPED_TRACE(testing::Message()
                     << DTypeName(dtype) << " " << SelectionName(selection) << " chunk " << chunk);
        Trace on_host(problem), on_device(problem);
        Read({.host_bytes = 8 << 20}, problem, selection, chunk, &on_host);
        Read(OnDevice(1 << 20), problem, selection, chunk, &on_device);
        ExpectSame(on_device, on_host, dtype == DType::kF32 ? 1e-5 : 5e-2);
      }
    }
  }
}

TEST_P(DeviceSessionTest, FaissChoosesTheSame) {
  if (const Status usable = CheckFaissGpu(); !usable.has_value()) {
    GTEST_SKIP() << usable.error().message;
  }
  const Problem problem(ShapeOf(GetParam(), DType::kF16), 90, 57);
  for (const Selection selection : {Selection::kPerToken, Selection::kPerChunk}) {
    SessionOptions options = OptionsOf(selection);
    Trace traces[2] = {Trace(problem), Trace(problem)};
    for (const IndexKind kind : {IndexKind::kAuto, IndexKind::kFaiss}) {
      options.index = kind;
      auto engine = test::MemoryEngine(OnDevice(1 << 20));
      auto session = engine->CreateSession("s", problem.shape, options, "{}").value();
      ASSERT_GOOD(
          RunSteps(*session, problem, problem.rows, 5, &traces[kind == IndexKind::kFaiss ? 1 : 0]));
    }
    ExpectSame(traces[1], traces[0], 1e-5);
  }
}

TEST_P(DeviceSessionTest, EveryBlockChosenIsDense) {
  const Problem problem(ShapeOf(GetParam(), DType::kF32), 75, 52);
  auto engine = test::MemoryEngine(OnDevice(1 << 20));
  SessionOptions options = OptionsOf(Selection::kPerChunk);
  options.retrieve = 75;
  auto session = engine->CreateSession("s", problem.shape, options, "{}");
  ASSERT_GOOD(session);
  Trace trace(problem);
  ASSERT_GOOD(RunSteps(*session.value(), problem, problem.rows, 7, &trace));
  test::ExpectNear(trace.o, DenseOracle(problem), 1e-5);
}

TEST_P(DeviceSessionTest, TheTightestTiersGiveTheSame) {
  const Problem problem(ShapeOf(GetParam(), DType::kF32), 90, 53);
  const SessionOptions options = OptionsOf(Selection::kPerToken);
  const uint64_t slot =
      SlabPool::SlotBytes(problem.shape.block.payload_bytes()) + BlockTable::kBytesPerSlot;
  const uint64_t pinned = StepAttention::MostBlocksPerFetch(problem.shape, options);
  Trace on_host(problem);
  Read({.host_bytes = 8 << 20}, problem, options.selection, 5, &on_host);
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    cuda_on_cpu::SetOrderSeed(seed);
    Trace on_device(problem);
    EngineOptions tight = OnDevice(pinned * slot);
    tight.host_bytes = (pinned + 1) * slot;
    Read(tight, problem, options.selection, 5, &on_device);
    ExpectSame(on_device, on_host, 1e-5);
  }
}

TEST_P(DeviceSessionTest, LogsAndCertificatesAreThoseOfTheHost) {
  const Problem problem(ShapeOf(GetParam(), DType::kF32), 90, 55);
  StepLog logs[2];
  MassLog missed[2];
  for (const int i : {0, 1}) {
    EngineOptions options = OnDevice(1 << 20);
    if (i == 0) options.device.reset(), options.compute_bytes = 0;
    auto engine = test::MemoryEngine(options);
    auto session =
        engine->CreateSession("s", problem.shape, OptionsOf(Selection::kPerToken), "{}").value();
    Trace trace(problem);
    ASSERT_GOOD(RunSteps(*session, problem, 60, 20, &trace));
    missed[i].audit = true;
    session->Observe(&logs[i]);
    session->Certify(&missed[i]);
    ASSERT_GOOD(RunSteps(*session, problem, 90, 6, &trace));
  }
  ASSERT_EQ(logs[0].blocks.size(), logs[1].blocks.size());
  ASSERT_FALSE(logs[0].blocks.empty());
  for (size_t i = 0; i < logs[0].blocks.size(); ++i) {
    EXPECT_EQ(logs[0].blocks[i].block, logs[1].blocks[i].block);
    EXPECT_NEAR(logs[0].blocks[i].share, logs[1].blocks[i].share, 1e-5);
  }
  ASSERT_EQ(missed[0].heads.size(), missed[1].heads.size());
  ASSERT_FALSE(missed[0].heads.empty());
  for (size_t i = 0; i < missed[0].heads.size(); ++i) {
    EXPECT_NEAR(missed[0].heads[i].bound, missed[1].heads[i].bound, 1e-5);
    EXPECT_NEAR(missed[0].heads[i].truth, missed[1].heads[i].truth, 1e-5);
  }
}

// Behind chunks of codes, and back into one: of what is chosen nearly all is what exact search
// chooses.
TEST_P(DeviceSessionTest, CodesChooseNearlyTheSame) {
  constexpr int64_t kRows = 1120, kReverted = 1060;
  const Problem problem(ShapeOf(GetParam(), DType::kF16), kRows, 58);
  SessionOptions options = OptionsOf(Selection::kPerChunk);
  options.retrieve = 6;
  Trace traces[2] = {Trace(problem), Trace(problem)};
  for (const bool on_device : {false, true}) {
    auto engine =
        test::MemoryEngine(on_device ? OnDevice(1 << 20) : EngineOptions{.host_bytes = 8 << 20});
    options.index = on_device ? IndexKind::kInt8 : IndexKind::kExact;
    auto session = engine->CreateSession("s", problem.shape, options, "{}").value();
    EXPECT_EQ(session->index_name(), on_device ? "device int8" : "exact");
    Trace& trace = traces[on_device ? 1 : 0];
    ASSERT_GOOD(RunSteps(*session, problem, 1000, 20, &trace));
    ASSERT_GOOD(session->Commit("{}"));
    ASSERT_GOOD(RunSteps(*session, problem, kReverted, 20, &trace));
    ASSERT_GOOD(session->Revert());
    ASSERT_EQ(session->rows(), 1000);
    ASSERT_GOOD(RunSteps(*session, problem, kRows, 20, &trace));
  }
  int64_t all = 0, same = 0;
  ASSERT_EQ(traces[0].choices.size(), traces[1].choices.size());
  for (size_t step = 0; step < traces[0].choices.size(); ++step) {
    for (size_t layer = 0; layer < kLayers; ++layer) {
      const auto& expected = traces[0].choices[step][layer].blocks;
      const auto& found = traces[1].choices[step][layer].blocks;
      ASSERT_EQ(found.size(), expected.size());
      for (size_t i = 0; i < found.size(); ++i) same += found[i] == expected[i] ? 1 : 0;
      all += static_cast<int64_t>(found.size());
    }
  }
  EXPECT_GT(same, all * 9 / 10);
}

INSTANTIATE_TEST_SUITE_P(Modes, DeviceSessionTest,
                         testing::Values(AttentionMode::kLandmark, AttentionMode::kUnmodified),
                         [](const auto& info) {
                           return std::string(AttentionModeName(info.param));
                         });

TEST(DeviceEngine, ADeviceThatIsNotThereIsAnError) {
  const auto engine =
      Engine::Open(std::make_unique<MemoryColdStore>(), {.host_bytes = 8 << 20, .device = 99});
  EXPECT_ERROR(engine, Errc::kNotFound, "there is no device cuda:");
}

TEST(DeviceEngine, ShapesThatKernelsDoNotTakeAreRefused) {
  auto engine = test::MemoryEngine(OnDevice(64 << 20));
  SessionShape shape = test::MakeShape(AttentionMode::kUnmodified, 1, 1, 1, {1032, 8, DType::kF32});
  shape.context_rows = 8192;
  const SessionOptions options = OptionsOf(Selection::kPerToken);
  EXPECT_ERROR(engine->CreateSession("s", shape, options, "{}"), Errc::kUnsupported,
               "blocks of 1032 rows are not for CUDA kernels");
}

}  // namespace
}  // namespace cairn
