#include "bench/ladder.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <numeric>
#include <random>
#include <span>
#include <utility>

#include "bench/child_process.h"
#include "bench/ladder_cases.h"
#include "bench/ladder_steps.h"
#include "bench/ladder_store.h"
#include "bench/process_usage.h"
#include "bench/raw_peer.h"

namespace cairn {
namespace {

constexpr double kMostOverhead = 0.01;    // of a step's median
constexpr double kAimedOverhead = 0.004;  // that `together` is chosen for
constexpr uint32_t kMostTogether = 20'000;
constexpr double kWarmUpShare = 0.3;  // of a turn
constexpr int kWarmUpTurns = 3;
constexpr uint32_t kEmptyTogether = 10'000;
constexpr int kCalibrationRounds = 200'000;
constexpr size_t kMemoryBytes = 64 << 20, kMemoryPiece = 4 << 20;
constexpr int kLoadPercent = 70;
constexpr double kLeastOpenStarts = 200;  // in one turn
constexpr double kMostOpenSeconds = 1.5;
const char* const kEven = "even";
const char* const kPoisson = "Poisson";

/// A fixed piece of arithmetic: how fast the machine is at this moment, in picoseconds.
uint64_t Calibrate() {
  const Stopwatch watch;
  uint64_t state = 88172645463325252u;
  for (int i = 0; i < kCalibrationRounds; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
  }
  asm volatile("" : : "r"(state));
  return static_cast<uint64_t>(watch.Seconds() * 1e12);
}

/// How fast memory is at this moment: reads a piece of what was not read for long.
class MemoryLoop {
 public:
  /// Picoseconds for a piece.
  uint64_t Run() {
    const std::span piece = bytes_.all().subspan(next_, kMemoryPiece);
    next_ = (next_ + kMemoryPiece) % kMemoryBytes;
    const Stopwatch watch;
    uint64_t sum = 0;
    const auto* numbers = reinterpret_cast<const uint64_t*>(piece.data());
    for (size_t i = 0; i < kMemoryPiece / sizeof *numbers; ++i) sum += numbers[i];
    asm volatile("" : : "r"(sum));
    return static_cast<uint64_t>(watch.Seconds() * 1e12);
  }

 private:
  RandomBytes bytes_{kMemoryBytes, 12};
  size_t next_ = 0;
};

/// Loops of one round.
struct NoiseRound {
  FineHistogram arithmetic, memory;
};

double CoresOnline() { return static_cast<double>(sysconf(_SC_NPROCESSORS_ONLN)); }

/// Seconds that cores have worked so far for others than this process and what it waited for.
double OthersSeconds() {
  std::ifstream file("/proc/stat");
  std::string name;
  double user = 0, nice = 0, system = 0, idle = 0, waiting = 0, interrupts = 0, soft = 0,
         stolen = 0;
  file >> name >> user >> nice >> system >> idle >> waiting >> interrupts >> soft >> stolen;
  const double ticks = user + nice + system + interrupts + soft + stolen;
  rusage children{};
  getrusage(RUSAGE_CHILDREN, &children);
  double own = ProcessCpuSeconds();
  for (const timeval& time : {children.ru_utime, children.ru_stime}) {
    own += static_cast<double>(time.tv_sec) + 1e-6 * static_cast<double>(time.tv_usec);
  }
  return ticks / static_cast<double>(sysconf(_SC_CLK_TCK)) - own;
}

template <class T>
T Nearest(const std::vector<T>& values, T wanted) {
  return *std::ranges::min_element(values, {}, [wanted](T value) {
    return std::abs(std::log(static_cast<double>(value) / static_cast<double>(wanted)));
  });
}

class Ladder {
 public:
  Ladder(const LadderOptions& options, FunctionRef<bool(const std::string&)> progress)
      : options_(options), progress_(progress), device_(options.directory) {}

  Result<LadderResult> Run();

 private:
  struct Open {
    size_t point = 0;
    LadderCase* timed = nullptr;
    OpenLoop loop;
  };

  Status Stop(const std::string& what) {
    noise_.back().arithmetic.Record(Calibrate());
    noise_.back().memory.Record(memory_.Run());
    if (!progress_(what)) return Ok();
    return Fail(Errc::kInterrupted, "stopped; what the ladder had made is removed");
  }
  Status MeasureEmptyStep();
  Result<LadderTurn> Turn(LadderCase& timed, LadderPoint& point, double seconds);
  Status WarmUp(LadderCase& timed, LadderPoint& point);
  Status Round(LadderCases& cases, int round);
  Status CompareWithFio(const LadderCases& cases);
  std::vector<Open> OpenLoops(const LadderCases& cases);
  Status RunOpenLoops(const std::vector<Open>& loops);
  void LeaveOutTooSmall();
  void SumUpNoise();

  const LadderOptions options_;
  FunctionRef<bool(const std::string&)> progress_;
  const DeviceCounters device_;
  LadderResult result_;
  std::vector<NoiseRound> noise_{1};  // the warm-up's first
  MemoryLoop memory_;
};

Status Ladder::MeasureEmptyStep() {
  auto empty = MakeEmptyStep({.tier = "CPU", .step = "empty", .batch = 64});
  const auto median = [&](uint32_t together) -> Result<double> {
    std::vector<double> values;
    for (int i = 0; i < std::max(options_.repetitions, 3); ++i) {
      CAIRN_TRY(const LadderTurn turn,
                RunClosedTurn(*empty, device_, options_.turn_seconds / 3, together));
      values.push_back(static_cast<double>(turn.latency_ps.Percentile(0.5)) * 1e-3);
    }
    return Median(std::move(values));
  };
  CAIRN_TRY(result_.overhead.clock_ns, median(1));
  CAIRN_TRY(result_.overhead.walk_ns, median(kEmptyTogether));
  return Ok();
}

Result<LadderTurn> Ladder::Turn(LadderCase& timed, LadderPoint& point, double seconds) {
  CAIRN_TRY(timed.Prepare());
  auto turn = RunClosedTurn(timed, device_, seconds, point.together);
  timed.Finish();
  return turn;
}

Status Ladder::WarmUp(LadderCase& timed, LadderPoint& point) {
  CAIRN_TRY(Stop(fmt::format("warming up: {} {}", point.key.tier, point.key.step)));
  // What is not cold is slower the first time; by that a look at the clock would seem to cost less
  // of a step than it does in all later turns.
  const int turns = timed.cold() ? 1 : kWarmUpTurns;
  double ns = std::numeric_limits<double>::infinity();
  for (int i = 0; i < turns; ++i) {
    CAIRN_TRY(const LadderTurn turn,
              Turn(timed, point, kWarmUpShare / turns * options_.turn_seconds));
    ns = std::min(ns, std::max(static_cast<double>(turn.latency_ps.Percentile(0.5)) * 1e-3, 0.1));
  }
  const double together = result_.overhead.clock_ns / (ns * kAimedOverhead);
  point.together =
      static_cast<uint32_t>(std::clamp(std::ceil(together), 1.0, double{kMostTogether}));
  return Ok();
}

Status Ladder::Round(LadderCases& cases, int round) {
  noise_.emplace_back();
  std::vector<size_t> order(cases.all().size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::mt19937_64 random(static_cast<uint64_t>(round) + 1);
  std::ranges::shuffle(order, random);
  for (size_t i = 0; i < order.size(); ++i) {
    LadderPoint& point = result_.points[order[i]];
    CAIRN_TRY(Stop(fmt::format("round {} of {}, {} of {}: {} {}", round + 1, options_.repetitions,
                               i + 1, order.size(), point.key.tier, point.key.step)));
    CAIRN_TRY(LadderTurn turn, Turn(*cases.all()[order[i]], point, options_.turn_seconds));
    point.turns.push_back(std::move(turn));
  }
  return CompareWithFio(cases);
}

Status Ladder::CompareWithFio(const LadderCases& cases) {
  for (FioComparison& comparison : result_.fio) {
    CAIRN_TRY(Stop(
        fmt::format("fio with blocks of {}", FormatByteSize(comparison.settings.block_bytes))));
    CAIRN_TRY(const FioRun run, RunFio(comparison.settings));
    comparison.runs.push_back(run);
    auto own = MakeRawFetch({.tier = "raw device",
                             .step = "fetch",
                             .block_bytes = comparison.settings.block_bytes,
                             .batch = comparison.settings.batch},
                            cases.file());
    LadderPoint point;
    CAIRN_TRY(const LadderTurn turn, Turn(*own, point, comparison.settings.seconds));
    comparison.own_bytes_per_second.push_back(static_cast<double>(turn.payload_bytes) /
                                              turn.seconds);
  }
  return Ok();
}

/// Open loops for the points that all axes cross in, at a part of what their closed loop gave.
std::vector<Ladder::Open> Ladder::OpenLoops(const LadderCases& cases) {
  std::vector<Open> loops;
  const size_t closed = result_.points.size();
  for (size_t i = 0; i < closed; ++i) {
    const LadderKey key = result_.points[i].key;
    const bool ssd = key.tier == "SSD direct";
    const bool base = key.block_bytes == options_.base_block_bytes() &&
                      key.batch == options_.base_batch() && key.tier != "mix" &&
                      key.step == "fetch" && key.variant.empty();
    const bool one = key.readers == options_.base_readers();
    if (!base || !(one || (ssd && key.readers == 4))) continue;
    const double capacity = result_.points[i].OperationsPerSecond().median;
    for (const int load : {50, kLoadPercent, 90}) {
      for (const char* arrivals : {kEven, kPoisson}) {
        if (load != kLoadPercent && !ssd) continue;
        Open open;
        open.point = result_.points.size();
        open.timed = cases.all()[i].get();
        LadderPoint point;
        point.key = key;
        point.key.variant = arrivals;
        point.key.load_percent = load;
        const auto given = options_.rates.find(point.key.Name());
        open.loop.rate_per_second =
            given != options_.rates.end() ? given->second : capacity * load / 100;
        open.loop.poisson = arrivals == kPoisson;
        point.cold = result_.points[i].cold;
        point.rate_per_second = open.loop.rate_per_second;
        result_.points.push_back(std::move(point));
        loops.push_back(open);
      }
    }
  }
  return loops;
}

Status Ladder::RunOpenLoops(const std::vector<Open>& loops) {
  for (int round = 0; round < options_.repetitions; ++round) {
    for (const Open& open : loops) {
      LadderPoint& point = result_.points[open.point];
      CAIRN_TRY(Stop(fmt::format("open loop, round {} of {}: {} at {} %", round + 1,
                                 options_.repetitions, point.key.tier, *point.key.load_percent)));
      CAIRN_TRY(open.timed->Prepare());
      OpenLoop loop = open.loop;
      loop.seed = static_cast<uint64_t>(round) + 1;
      const double enough = std::min(kLeastOpenStarts / loop.rate_per_second,
                                     kMostOpenSeconds / 0.15 * options_.turn_seconds);
      auto turn = RunOpenTurn(*open.timed, device_, std::max(options_.turn_seconds, enough), loop);
      open.timed->Finish();
      if (!turn) return std::move(turn).as_failure();
      point.turns.push_back(std::move(turn).value());
    }
  }
  return Ok();
}

/// What the ladder itself costs may be no more than 1 % of what is reported.
void Ladder::LeaveOutTooSmall() {
  LadderOverhead& overhead = result_.overhead;
  std::vector<LadderPoint> kept;
  for (LadderPoint& point : result_.points) {
    const auto p50 = point.Latency(0.5);
    const double ns = p50 ? std::max(p50->median, 1e-3) : 1e-3;
    const double own_ns = overhead.clock_ns / point.together + overhead.walk_ns;
    if (own_ns > kMostOverhead * ns) {
      result_.too_small.push_back(point.key.Name());
      continue;
    }
    if (100 * own_ns / ns > overhead.worst_percent) {
      overhead.worst_percent = 100 * own_ns / ns;
      overhead.worst = point.key.Name();
    }
    kept.push_back(std::move(point));
  }
  result_.points = std::move(kept);
}

void Ladder::SumUpNoise() {
  FineHistogram all;
  std::vector<double> medians, memory;
  for (const NoiseRound& round : noise_) {
    all.Merge(round.arithmetic);
    medians.push_back(static_cast<double>(round.arithmetic.Percentile(0.5)) * 1e-3);
    memory.push_back(static_cast<double>(round.memory.Percentile(0.5)) * 1e-3);
  }
  result_.noise.memory_ns = MedianOf(std::move(memory));
  const auto [least, greatest] = std::ranges::minmax(medians);
  result_.noise.loop_ns = MedianOf(medians);
  result_.noise.drift_percent = 100 * (greatest / std::max(least, 1e-3) - 1);
  const double low = static_cast<double>(all.Percentile(0.05));
  const double high = static_cast<double>(all.Percentile(0.95));
  result_.noise.spread_percent = 100 * (high / std::max(low, 1.0) - 1);
}

Result<LadderResult> Ladder::Run() {
  const Stopwatch watch;
  const double others = OthersSeconds();
  CAIRN_TRY(LadderCases cases, LadderCases::Make(options_, progress_));
  result_.device_counters = device_.path();
  CAIRN_TRY(MeasureEmptyStep());
  if (options_.peers) {
    const auto version = FioVersion();
    cases.peers().push_back(
        {"fio", version.has_value(), version ? *version : "fio is not installed"});
    for (const uint64_t block_bytes : {options_.base_block_bytes(), options_.block_bytes.back()}) {
      if (!version ||
          (!result_.fio.empty() && result_.fio.back().settings.block_bytes == block_bytes)) {
        continue;
      }
      result_.fio.push_back({.settings = {.file = cases.file().path(),
                                          .file_bytes = cases.file().bytes(),
                                          .block_bytes = block_bytes,
                                          .batch = options_.base_batch(),
                                          .seconds = options_.fio_seconds}});
    }
  }
  for (const auto& timed : cases.all()) {
    LadderPoint point;
    point.key = timed->key();
    point.cold = timed->cold();
    CAIRN_TRY(WarmUp(*timed, point));
    result_.points.push_back(std::move(point));
  }
  for (int round = 0; round < options_.repetitions; ++round) CAIRN_TRY(Round(cases, round));
  noise_.emplace_back();
  CAIRN_TRY(RunOpenLoops(OpenLoops(cases)));
  LeaveOutTooSmall();
  SumUpNoise();
  result_.tiers = std::move(cases.tiers());
  result_.peers = std::move(cases.peers());
  result_.skipped = std::move(cases.skipped());
  result_.seconds = watch.Seconds();
  result_.noise.others_percent =
      100 * std::max(0.0, OthersSeconds() - others) / (result_.seconds * CoresOnline());
  return std::move(result_);
}

}  // namespace

Status LadderOptions::Validate() const {
  constexpr uint64_t kMostBlock = 1 * kMiB;
  for (const uint64_t bytes : block_bytes) {
    if (bytes >= 4 * kKiB && bytes <= kMostBlock && bytes % (4 * kKiB) == 0) continue;
    return Fail(Errc::kInvalidArgument, "--block-size {}: use multiples of 4KiB up to {}",
                FormatByteSize(bytes), FormatByteSize(kMostBlock));
  }
  for (const uint32_t batch : batches) {
    if (batch >= 1 && batch <= 4096) continue;
    return Fail(Errc::kInvalidArgument, "--batch {}: use 1 to 4096 blocks", batch);
  }
  for (const int count : readers) {
    if (count >= 1 && count <= 64) continue;
    return Fail(Errc::kInvalidArgument, "--readers {}: use 1 to 64", count);
  }
  const uint64_t base = base_block_bytes() * base_batch() * static_cast<uint64_t>(base_readers());
  if (6 * base <= store_bytes) return Ok();
  return Fail(Errc::kInvalidArgument, "--size {} is too little for {} blocks of {}; use {} or more",
              FormatByteSize(store_bytes), base_batch(), FormatByteSize(base_block_bytes()),
              FormatByteSize(6 * base));
}

uint64_t LadderOptions::NeededBytes() const {
  // Stores, RocksDB of half the size (and as much again while it compacts), the plain file, and
  // what commits write in one turn.
  return block_bytes.size() * store_bytes * (peers ? 2 : 1) + 2 * store_bytes + 2 * kGiB;
}

uint64_t LadderOptions::base_block_bytes() const { return Nearest(block_bytes, 16 * kKiB); }
uint32_t LadderOptions::base_batch() const { return Nearest(batches, 64u); }
int LadderOptions::base_readers() const { return Nearest(readers, 1); }

bool FioComparison::agrees() const {
  if (runs.empty()) return false;
  const auto [least, greatest] = std::ranges::minmax(runs, {}, &FioRun::bytes_per_second);
  const double own = Median(own_bytes_per_second);
  return own >= least.bytes_per_second && own <= greatest.bytes_per_second;
}

Result<LadderResult> RunLadder(const LadderOptions& options,
                               FunctionRef<bool(const std::string&)> progress) {
  CAIRN_TRY(options.Validate());
  return Ladder(options, progress).Run();
}

}  // namespace cairn
