#include "bench/attention_bench.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "base/page_buffer.h"
#include "bench/process_usage.h"
#include "engine/engine.h"
#include "kernels/attention.h"
#include "kernels/block_rows.h"
#include "storage/memory_cold_store.h"

namespace cairn {
namespace {

constexpr int32_t kBuildRows = 512;
constexpr int32_t kKernelBlocks = 64;  // of a call: enough that its ends do not count
constexpr int32_t kKernelCalls = 256;  // of a turn, and as many lists
constexpr int32_t kPosition = 1 << 14;

/// A layer of SmolLM2-135M with the landmark adapter.
SessionShape Shape(int32_t layers, DType kv_type) {
  SessionShape shape;
  shape.layers = layers;
  shape.query_heads = 9;
  shape.kv_heads = 3;
  shape.block = {.block_rows = 64, .head_dim = 64, .dtype = kv_type};
  shape.mode = AttentionMode::kLandmark;
  shape.context_rows = 2048;
  shape.inverse_frequencies = RopeTable::InverseFrequencies(1e5, shape.block.head_dim);
  return shape;
}

/// A block of the shape from as many numbers as it has.
void FillBlock(const BlockShape& shape, const float* numbers, std::byte* payload) {
  const BlockShape open = shape.open();
  const auto count = 2 * static_cast<size_t>(shape.block_rows) * shape.head_dim;
  if (shape.dtype == open.dtype) return ConvertFromFloat(open.dtype, numbers, payload, count);
  std::vector<std::byte> rows(open.payload_bytes());
  ConvertFromFloat(open.dtype, numbers, rows.data(), count);
  SealBlock(shape, rows.data(), payload);
}

/// Reads all of `pool` from start to end, each core its part.
double SecondsToRead(const PageBuffer& pool) {
  constexpr int64_t kAtOnce = 32;  // sums that do not wait for each other
  std::vector<uint64_t> sums(static_cast<size_t>(Threads()));
  const auto words = static_cast<int64_t>(pool.bytes() / sizeof(uint64_t)) / kAtOnce;
  const auto* word = reinterpret_cast<const uint64_t*>(pool.data());
  const Stopwatch reading;
  ParallelFor(Threads(), [&](int64_t part) {
    uint64_t sum[kAtOnce] = {};
    for (int64_t i = words * part / Threads(); i < words * (part + 1) / Threads(); ++i) {
      for (int64_t j = 0; j < kAtOnce; ++j) sum[j] += word[i * kAtOnce + j];
    }
    for (const uint64_t one : sum) sums[static_cast<size_t>(part)] ^= one;
  });
  const double seconds = reading.Seconds();
  uint64_t used = 0;
  for (const uint64_t sum : sums) used ^= sum;
  return used == 1 ? std::nextafter(seconds, 1.0) : seconds;  // used, so that it is made
}

Error Stopped() { return Fail(Errc::kInterrupted, "stopped; nothing was kept"); }

class AttentionBench {
 public:
  AttentionBench(const AttentionBenchOptions& options, FunctionRef<bool(const std::string&)> stop)
      : options_(options), stop_(stop), shape_(Shape(options.layers, options.kv_type)) {
    std::normal_distribution<float> normal;
    noise_.resize(1 << 21);
    for (float& value : noise_) value = normal(random_);
  }

  Result<AttentionBenchResult> Run();

 private:
  Result<std::unique_ptr<Session>> Build(Engine& engine);
  /// Seconds in Attend of a layer, the mean of `steps` steps.
  Result<double> TimeSteps(Session& session, const SessionOptions& options, int32_t rows,
                           int32_t steps);
  Result<double> Step(Session& session, int32_t rows);
  void TimeKernel(AttentionBenchResult& result);
  /// `count` random numbers, other ones each time.
  const float* Noise(size_t count) { return noise_.data() + random_() % (noise_.size() - count); }

  const AttentionBenchOptions options_;
  FunctionRef<bool(const std::string&)> stop_;
  const SessionShape shape_;
  std::mt19937_64 random_{1};
  std::vector<float> noise_;
  std::vector<float> output_;
};

Result<double> AttentionBench::Step(Session& session, int32_t rows) {
  const size_t row = static_cast<size_t>(rows) * shape_.block.head_dim;
  output_.resize(row * shape_.query_heads);
  double seconds = 0;
  CAIRN_TRY(session.BeginStep(rows));
  for (int32_t layer = 0; layer < shape_.layers; ++layer) {
    const float* q = Noise(row * shape_.query_heads);
    const float* k = Noise(row * shape_.kv_heads);
    const float* v = Noise(row * shape_.kv_heads);
    const Stopwatch watch;
    CAIRN_TRY(session.Attend(layer, q, k, v, output_.data()));
    seconds += watch.Seconds();
  }
  CAIRN_TRY(session.EndStep());
  return seconds / shape_.layers;
}

Result<std::unique_ptr<Session>> AttentionBench::Build(Engine& engine) {
  SessionOptions options;
  options.retrieve = 1;
  options.index = options_.index;
  options.max_step_rows = kBuildRows;
  options.query_stride = kBuildRows;
  CAIRN_TRY(auto session, engine.CreateSession("bench", shape_, options, "{}"));
  while (session->rows() < options_.tokens) {
    if (stop_(fmt::format("making a session: {} of {} tokens", session->rows(), options_.tokens))) {
      return Stopped();
    }
    const auto rows =
        static_cast<int32_t>(std::min<int64_t>(kBuildRows, options_.tokens - session->rows()));
    CAIRN_TRY(Step(*session, rows));
  }
  return session;
}

Result<double> AttentionBench::TimeSteps(Session& session, const SessionOptions& options,
                                         int32_t rows, int32_t steps) {
  CAIRN_TRY(session.SetOptions(options));
  CAIRN_TRY(Step(session, rows));  // buffers of the size are made
  double seconds = 0;
  for (int32_t i = 0; i < steps; ++i) {
    CAIRN_TRY(const double step, Step(session, rows));
    seconds += step;
  }
  return seconds / steps;
}

void AttentionBench::TimeKernel(AttentionBenchResult& result) {
  const size_t payload = shape_.block.payload_bytes();
  const auto blocks = static_cast<int64_t>(options_.pool_bytes / payload);
  PageBuffer pool(static_cast<size_t>(blocks) * payload);
  ParallelRanges(blocks, 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      FillBlock(shape_.block, noise_.data() + block % 64 * 1024,
                pool.data() + static_cast<size_t>(block) * payload);
    }
  });
  RopeTable rope(shape_.rope_style, shape_.inverse_frequencies);
  rope.Reserve(kPosition + 1);
  const int32_t dim = shape_.block.head_dim, group = shape_.group();
  std::vector<BlockRef> refs(static_cast<size_t>(kKernelCalls) * kKernelBlocks);
  std::vector<float> o(static_cast<size_t>(kKernelCalls) * group * dim), lse(o.size() / dim);
  std::vector<double> kernels, memories, shares;
  for (int round = 0; round < options_.rounds; ++round) {
    for (size_t i = 0; i < refs.size(); ++i) {
      const auto block = static_cast<size_t>(random_() % static_cast<uint64_t>(blocks));
      refs[i] = {pool.data() + block * payload,
                 static_cast<int32_t>(i % kKernelBlocks) * shape_.block.block_rows,
                 shape_.block.block_rows};
    }
    const float* q = Noise(o.size());
    const Stopwatch attending;
    ParallelFor(kKernelCalls, [&](int64_t call) {
      AttendParams params;
      params.shape = shape_.block;
      params.mode = SoftmaxMode::kGrouped;
      params.scale = 1.0f / std::sqrt(static_cast<float>(dim));
      params.rope = &rope;
      params.rows = 1;
      params.group = group;
      params.q = q + call * group * dim;
      params.q_row_stride = group * dim;
      params.q_positions = &kPosition;
      params.blocks = {refs.data() + call * kKernelBlocks, kKernelBlocks};
      params.o = o.data() + call * group * dim;
      params.o_row_stride = group * dim;
      params.lse = lse.data() + call * group;
      thread_local std::vector<float> scratch;
      scratch.resize(AttendScratchFloats(params) + 16);
      const auto address = reinterpret_cast<uintptr_t>(scratch.data());
      Attend(params, reinterpret_cast<float*>((address + 63) / 64 * 64));
    });
    kernels.push_back(static_cast<double>(refs.size() * payload) / attending.Seconds());
    memories.push_back(static_cast<double>(pool.bytes()) / SecondsToRead(pool));
    shares.push_back(kernels.back() / memories.back());
  }
  result.kernel_bytes_per_second = Median(kernels);
  result.memory_bytes_per_second = Median(memories);
  result.kernel_share = Median(shares);
}

Result<AttentionBenchResult> AttentionBench::Run() {
  AttentionBenchResult result;
  result.shape = shape_;
  result.retrieve = options_.retrieve;
  result.prefill_rows = options_.prefill_rows;
  SessionOptions decode;
  decode.index = options_.index;
  decode.retrieve = options_.retrieve;
  decode.selection = Selection::kPerToken;
  SessionOptions prefill;
  prefill.index = options_.index;
  prefill.retrieve = options_.retrieve;
  prefill.max_step_rows = options_.prefill_rows;
  CAIRN_TRY(prefill.Validate(shape_));
  // Room for every block, and as much again: those that wait to be written fill half at most.
  const int64_t blocks = options_.tokens / shape_.block.block_rows + 1024;
  const auto payloads = static_cast<uint64_t>(blocks) * shape_.partitions();
  CAIRN_TRY(auto engine,
            Engine::Open(std::make_unique<MemoryColdStore>(),
                         {.host_bytes = 5 * payloads * shape_.block.payload_bytes() / 2}));
  CAIRN_TRY(auto session, Build(*engine));
  result.tokens = session->rows();
  result.blocks_per_head = session->rows() / shape_.block.block_rows;
  result.index_bytes = static_cast<double>(session->index_bytes());
  std::vector<double> decodes, prefills;
  for (int round = 0; round < options_.rounds; ++round) {
    if (stop_("attending")) return Stopped();
    CAIRN_TRY(const double one, TimeSteps(*session, decode, 1, options_.decode_steps));
    CAIRN_TRY(const double many,
              TimeSteps(*session, prefill, options_.prefill_rows, options_.prefill_steps));
    decodes.push_back(one);
    prefills.push_back(many);
  }
  result.index = std::string(session->index_name());
  result.decode_seconds = Median(decodes);
  result.prefill_seconds = Median(prefills);
  result.read_bytes = static_cast<uint64_t>(shape_.kv_heads) *
                      static_cast<uint64_t>(options_.retrieve) * shape_.block.payload_bytes();
  TimeKernel(result);
  return result;
}

}  // namespace

Result<AttentionBenchResult> RunAttentionBench(const AttentionBenchOptions& options,
                                               FunctionRef<bool(const std::string&)> stop) {
  AttentionBench bench(options, stop);
  return bench.Run();
}

}  // namespace cairn
