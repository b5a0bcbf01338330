#include "bench/open_bench.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "base/byte_size.h"
#include "bench/process_usage.h"
#include "bench/raw_file.h"
#include "engine/engine.h"
#include "kernels/rope.h"
#include "storage/rocks_cold_store.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr const char* kSession = "bench";
constexpr int32_t kStepRows = 512;
constexpr int32_t kRetrieve = 8;
constexpr uint64_t kHostBytes = 64 * kMiB;

/// Few layers and heads, so that a million tokens fit a disk; as many blocks for each head, and as
/// large ones, as a small model has.
SessionShape Shape() {
  SessionShape shape;
  shape.layers = 4;
  shape.query_heads = 6;
  shape.kv_heads = 2;
  shape.block = {.block_rows = 64, .head_dim = 64, .dtype = DType::kF16};
  shape.mode = AttentionMode::kLandmark;
  shape.context_rows = 2048;
  shape.inverse_frequencies = RopeTable::InverseFrequencies(1e5, shape.block.head_dim);
  return shape;
}

class OpenBench {
 public:
  OpenBench(const OpenBenchOptions& options, FunctionRef<bool(const std::string&)> stop)
      : options_(options), stop_(stop) {
    std::normal_distribution<float> normal;
    noise_.resize(1 << 20);
    for (float& value : noise_) value = normal(random_);
  }

  Result<OpenBenchResult> Run();

 private:
  Status Build(OpenBenchResult& result);
  Status OpenOnce(OpenBenchResult& result, double* open_seconds, double* step_seconds);
  Status Step(Session& session, int32_t rows);
  Result<std::unique_ptr<Engine>> OpenEngine(bool create) const;
  /// `count` random numbers, other ones each time.
  const float* Noise(size_t count) { return noise_.data() + random_() % (noise_.size() - count); }
  std::string store() const { return options_.directory + "/session"; }
  std::vector<std::string> Segments() const;
  /// What the page cache has of the store is read from the disk again.
  void ForgetPages() const;

  const OpenBenchOptions options_;
  FunctionRef<bool(const std::string&)> stop_;
  const SessionShape shape_ = Shape();
  std::mt19937_64 random_{1};
  std::vector<float> noise_;
  std::vector<float> output_;
};

Result<std::unique_ptr<Engine>> OpenBench::OpenEngine(bool create) const {
  CAIRN_TRY(auto cold, RocksColdStore::Open(store(), {.create = create}));
  return Engine::Open(std::move(cold), {.host_bytes = kHostBytes});
}

Status OpenBench::Step(Session& session, int32_t rows) {
  const size_t row = static_cast<size_t>(rows) * shape_.block.head_dim;
  output_.resize(row * shape_.query_heads);
  CAIRN_TRY(session.BeginStep(rows));
  for (int32_t layer = 0; layer < shape_.layers; ++layer) {
    CAIRN_TRY(session.Attend(layer, Noise(row * shape_.query_heads), Noise(row * shape_.kv_heads),
                             Noise(row * shape_.kv_heads), output_.data()));
  }
  return session.EndStep();
}

Status OpenBench::Build(OpenBenchResult& result) {
  const Stopwatch watch;
  CAIRN_TRY(auto engine, OpenEngine(true));
  SessionOptions options;
  options.retrieve = 1;
  options.max_step_rows = kStepRows;
  options.query_stride = kStepRows;
  CAIRN_TRY(auto session, engine->CreateSession(kSession, shape_, options, "{}"));
  const std::vector<uint32_t> ids(kStepRows, 1);
  while (session->tokens() < options_.tokens) {
    if (stop_(
            fmt::format("making a session: {} of {} tokens", session->tokens(), options_.tokens))) {
      return Fail(Errc::kInterrupted, "stopped; what the benchmark had made is removed");
    }
    const int64_t left = options_.tokens - session->tokens();
    // Of each block's rows one is a landmark.
    const auto tokens = static_cast<int32_t>(
        std::min<int64_t>(left, kStepRows / shape_.block.block_rows * shape_.block_tokens()));
    const int32_t rows = tokens + tokens / shape_.block_tokens();
    CAIRN_TRY(Step(*session, rows));
    session->AddTokens(std::span(ids).first(static_cast<size_t>(tokens)));
    const bool last = session->tokens() >= options_.tokens;
    if (last || session->tokens() - session->committed_tokens() >= options_.commit_tokens) {
      CAIRN_TRY(session->Commit("{}"));
    }
  }
  result.shape = shape_;
  result.tokens = session->tokens();
  result.blocks_per_head = session->rows() / shape_.block.block_rows;
  result.payload_bytes = static_cast<uint64_t>(result.blocks_per_head) * shape_.layers *
                         shape_.kv_heads * shape_.block.payload_bytes();
  result.build_seconds = watch.Seconds();
  return Ok();
}

std::vector<std::string> OpenBench::Segments() const {
  std::vector<std::string> paths;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(store() + "/blocks", ignored)) {
    paths.push_back(entry.path().string());
  }
  std::ranges::sort(paths);
  return paths;
}

void OpenBench::ForgetPages() const {
  std::error_code ignored;
  for (const auto& entry : fs::recursive_directory_iterator(store(), ignored)) {
    if (!entry.is_regular_file(ignored)) continue;
    const int fd = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    (void)!fdatasync(fd);
    (void)!posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
  }
}

Status OpenBench::OpenOnce(OpenBenchResult& result, double* open_seconds, double* step_seconds) {
  ForgetPages();
  ReleaseFreeMemory();
  const uint64_t before_bytes = ProcessUsage::Now().resident_bytes;
  const Stopwatch opening;
  CAIRN_TRY(auto engine, OpenEngine(false));
  SessionOptions options;
  options.retrieve = kRetrieve;
  options.selection = Selection::kPerToken;
  CAIRN_TRY(auto session, engine->OpenSession(kSession, shape_, options));
  *open_seconds = opening.Seconds();
  const Stopwatch stepping;
  CAIRN_TRY(Step(*session, 1));
  *step_seconds = stepping.Seconds();
  const uint64_t after_bytes = ProcessUsage::Now().resident_bytes;
  result.retrieve = kRetrieve;
  result.index_bytes = session->index_bytes();
  result.memory_bytes =
      std::max(result.memory_bytes, after_bytes - std::min(before_bytes, after_bytes));
  result.fetched_blocks = engine->tiers()->Report().back().fetched_blocks;
  const ColdStoreStats stats = engine->cold().Stats();
  result.disk_bytes = stats.disk_bytes;
  result.files = stats.data_files;
  return Ok();
}

Result<OpenBenchResult> OpenBench::Run() {
  OpenBenchResult result;
  CAIRN_TRY(Build(result));
  const std::vector<std::string> files = Segments();
  WorkerPool workers(15);
  BatchReader reader(BatchReader::Method::kRing, workers);
  std::vector<double> opens, steps, reads, shares;
  for (int round = 0; round < options_.rounds; ++round) {
    if (stop_("opening the session")) {
      return Fail(Errc::kInterrupted, "stopped; what the benchmark had made is removed");
    }
    double open_seconds = 0, step_seconds = 0;
    CAIRN_TRY(OpenOnce(result, &open_seconds, &step_seconds));
    CAIRN_TRY(const double rate, ReadRate(files, reader));
    opens.push_back(open_seconds);
    steps.push_back(step_seconds);
    reads.push_back(static_cast<double>(result.payload_bytes) / rate);
    shares.push_back((open_seconds + step_seconds) / reads.back());
  }
  result.open_seconds = Median(opens);
  result.step_seconds = Median(steps);
  result.payload_read_seconds = Median(reads);
  result.share = Median(shares);
  return result;
}

}  // namespace

Result<OpenBenchResult> RunOpenBench(const OpenBenchOptions& options,
                                     FunctionRef<bool(const std::string&)> stop) {
  OpenBench bench(options, stop);
  auto result = bench.Run();
  std::error_code ignored;
  if (result) fs::remove_all(options.directory + "/session", ignored);
  return result;
}

}  // namespace cairn
