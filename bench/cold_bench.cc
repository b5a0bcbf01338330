#include "bench/cold_bench.h"

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>
#include <numeric>
#include <random>
#include <thread>
#include <utility>

#include "base/byte_size.h"
#include "bench/process_usage.h"
#include "bench/raw_file.h"
#include "storage/session_catalog.h"
#include "storage/tiered_store.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kBatchBlocks = 64;
constexpr uint16_t kLayers = 8, kHeads = 4;
constexpr uint64_t kStepBytes = 96 * kMiB;  // about what 4,096 tokens of a small model have
constexpr uint64_t kWarmUpSteps = 3;        // until each slot of the host tier was in use
constexpr int kBatchesInFlight[] = {1, 4};
constexpr const char* kSession = "bench";

struct Freed {
  void operator()(std::byte* memory) const { std::free(memory); }
};

/// One side of a comparison in one turn.
struct Turn {
  double bytes_per_second = 0;
  double p99_seconds = 0;
  double cpu_seconds_per_gb = 0;
  double from_disk = 0;
};

class ColdBench {
 public:
  ColdBench(const ColdBenchOptions& options, FunctionRef<bool(const std::string&)> stop)
      : options_(options),
        stop_(stop),
        step_ordinals_(OrdinalsOfStep(options)),
        steps_(kWarmUpSteps +
               std::max<uint64_t>(options.rounds, options.total_bytes / step_bytes())) {}

  Result<RawFile> MakeRaw() const { return RawFile::Create(options_.directory + "/raw"); }
  Result<IngestRow> Ingest(RawFile& raw);
  Result<std::vector<ReadRow>> Read(const RawFile& raw, const std::vector<BlockReads>& ways);

 private:
  struct Side {  // of reading
    BlockReads reads = BlockReads::kAuto;
    std::unique_ptr<RocksColdStore> cold;
    std::vector<Turn> turns;
  };
  using FetchBatch = FunctionRef<Status(std::span<const uint32_t>)>;
  /// What the disk has served of so many blocks that were asked for.
  using CountRead = FunctionRef<uint64_t(uint64_t)>;

  static uint32_t OrdinalsOfStep(const ColdBenchOptions& options) {
    const uint64_t rounds = static_cast<uint64_t>(options.rounds);
    const uint64_t bytes = std::min(kStepBytes, options.total_bytes / rounds);
    const uint64_t ordinals = bytes / options.payload_bytes / kLayers / kHeads;
    return static_cast<uint32_t>(std::max<uint64_t>(ordinals, 1));
  }
  std::string store() const { return options_.directory + "/store"; }
  uint64_t step_bytes() const {
    return uint64_t{step_ordinals_} * kLayers * kHeads * options_.payload_bytes;
  }
  uint64_t blocks() const { return steps_ * step_ordinals_ * kLayers * kHeads; }
  BlockId IdOf(uint64_t index) const;
  Status CheckStop(const std::string& what) const;
  Status WriteStep(TieredStore& tiers, SessionCatalog& catalog, SessionRecord& record,
                   double* seconds);
  void FillStep();
  Result<Turn> ReadTurn(int in_flight, FetchBatch fetch, CountRead read_of);
  Result<Turn> ReadRaw(const RawFile& raw, BatchReader& reader, int in_flight);
  Result<Turn> ReadStore(const Side& side, int in_flight);
  static ReadRow Summarize(const Side& side, const std::vector<Turn>& raw);

  const ColdBenchOptions options_;
  FunctionRef<bool(const std::string&)> stop_;
  const uint32_t step_ordinals_;  // of one layer and head
  const uint64_t steps_;
  uint64_t extent_ = 0;
  uint32_t next_ordinal_ = 0;
  std::unique_ptr<std::byte[], Freed> data_;  // of one step
  std::vector<uint32_t> order_;               // in which blocks are read
  size_t next_read_ = 0;
  std::mt19937_64 random_{1};
};

Status ColdBench::CheckStop(const std::string& what) const {
  if (!stop_(what)) return Ok();
  return Fail(Errc::kInterrupted, "stopped; what the benchmark had made is removed");
}

BlockId ColdBench::IdOf(uint64_t index) const {
  return {extent_, static_cast<uint32_t>(index / (kLayers * kHeads)),
          static_cast<uint16_t>(index / kHeads % kLayers), static_cast<uint16_t>(index % kHeads)};
}

/// Other bytes than before, cheaply: the disk may not find equal ones.
void ColdBench::FillStep() {
  const uint64_t words = step_bytes() / sizeof(uint64_t);
  uint64_t state = random_() | 1;
  for (uint64_t i = 0; i < words; ++i) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    std::memcpy(data_.get() + i * sizeof state, &state, sizeof state);
  }
}

Status ColdBench::WriteStep(TieredStore& tiers, SessionCatalog& catalog, SessionRecord& record,
                            double* seconds) {
  const uint64_t first = uint64_t{next_ordinal_} * kLayers * kHeads;
  for (uint64_t i = 0; i < uint64_t{step_ordinals_} * kLayers * kHeads; ++i) {
    CAIRN_TRY(tiers.Seal(IdOf(first + i),
                         {data_.get() + i * options_.payload_bytes, options_.payload_bytes}));
  }
  next_ordinal_ += step_ordinals_;
  const Stopwatch watch;
  CAIRN_TRY(tiers.Flush(extent_));
  record.ranges = {{extent_, 0, next_ordinal_}};
  record.tokens += step_ordinals_;
  record.rows = record.tokens;
  ++record.commits;
  CAIRN_TRY(
      catalog.Commit({.record = record, .new_tokens = std::vector<uint32_t>(step_ordinals_, 1)}));
  *seconds = watch.Seconds();
  return Ok();
}

Result<IngestRow> ColdBench::Ingest(RawFile& raw) {
  const uint64_t memory_bytes = (step_bytes() + kMiB - 1) / kMiB * kMiB;
  data_.reset(static_cast<std::byte*>(std::aligned_alloc(4096, memory_bytes)));
  if (data_ == nullptr) return Fail(Errc::kResource, "no memory for the bytes of one step");
  std::memset(data_.get(), 0, memory_bytes);
  CAIRN_TRY(auto cold, RocksColdStore::Open(store(), {.create = true}));
  CAIRN_TRY(auto catalog, SessionCatalog::Open(*cold, false));
  CAIRN_TRY(auto record, catalog.Create(kSession, "{}"));
  CAIRN_TRY(extent_, catalog.NewExtent());
  TieredStoreOptions tier_options;
  tier_options.payload_bytes = options_.payload_bytes;
  tier_options.host_bytes = step_bytes() * 5 / 2 + kMiB;
  CAIRN_TRY(auto tiers, TieredStore::Open(tier_options, *cold));
  IngestRow row;
  row.payload_bytes = options_.payload_bytes;
  row.step_bytes = step_bytes();
  std::vector<double> ratios, rates, raw_rates;
  double cpu_seconds = 0;
  uint64_t written_bytes = 0;
  bool written_known = true;
  const uint64_t measured = steps_ - kWarmUpSteps;
  const uint64_t per_round = measured / static_cast<uint64_t>(options_.rounds);
  double seconds = 0, raw_seconds = 0;
  for (uint64_t step = 0, in_round = 0; step < steps_; ++step) {
    CAIRN_TRY(CheckStop("writing"));
    FillStep();
    const ProcessUsage before = ProcessUsage::Now();
    double step_seconds = 0;
    CAIRN_TRY(WriteStep(*tiers, catalog, record, &step_seconds));
    const ProcessUsage after = ProcessUsage::Now();
    const Stopwatch watch;
    CAIRN_TRY(raw.Append({data_.get(), memory_bytes}));
    if (step < kWarmUpSteps) continue;
    raw_seconds += watch.Seconds();
    seconds += step_seconds;
    row.longest_commit_seconds = std::max(row.longest_commit_seconds, step_seconds);
    cpu_seconds += after.cpu_seconds - before.cpu_seconds;
    written_known = written_known && before.written_bytes && after.written_bytes;
    if (written_known) written_bytes += *after.written_bytes - *before.written_bytes;
    if (++in_round < per_round && step + 1 < steps_) continue;
    rates.push_back(static_cast<double>(in_round * step_bytes()) / seconds);
    raw_rates.push_back(static_cast<double>(in_round * memory_bytes) / raw_seconds);
    ratios.push_back(rates.back() / raw_rates.back());
    in_round = 0;
    seconds = raw_seconds = 0;
  }
  row.payload_total_bytes = measured * step_bytes();
  row.ratio_to_raw = Median(ratios);
  row.bytes_per_second = Median(rates);
  row.raw_bytes_per_second = Median(raw_rates);
  const auto payload_bytes = static_cast<double>(row.payload_total_bytes);
  row.cpu_seconds_per_gb = cpu_seconds / payload_bytes * 1e9;
  if (written_known) {
    row.write_amplification = static_cast<double>(written_bytes) / payload_bytes;
  }
  row.files = cold->Stats().data_files;
  data_.reset();
  return row;
}

/// Batches of blocks from `in_flight` threads, until the time is over or each block was asked for
/// once.
Result<Turn> ColdBench::ReadTurn(int in_flight, FetchBatch fetch, CountRead read_of) {
  std::mutex mutex;
  std::vector<double> latencies;
  Status status = Ok();
  std::atomic<bool> over = false;
  uint64_t left = order_.size() / kBatchBlocks;
  const double cpu_before = ProcessUsage::Now().cpu_seconds;
  const Stopwatch turn;
  const auto work = [&] {
    while (!over) {
      std::vector<uint32_t> batch;
      {
        const std::lock_guard lock(mutex);
        if (left == 0) return;
        --left;
        if (next_read_ + kBatchBlocks > order_.size()) next_read_ = 0;
        const auto first = order_.begin() + static_cast<std::ptrdiff_t>(next_read_);
        batch.assign(first, first + kBatchBlocks);
        next_read_ += kBatchBlocks;
      }
      const Stopwatch watch;
      Status fetched = fetch(batch);
      const double seconds = watch.Seconds();
      const std::lock_guard lock(mutex);
      latencies.push_back(seconds);
      if (!fetched) status = std::move(fetched);
      if (!status || turn.Seconds() >= options_.turn_seconds) over = true;
    }
  };
  std::vector<std::thread> threads;
  for (int i = 1; i < in_flight; ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  const double seconds = turn.Seconds();
  CAIRN_TRY(status);
  const uint64_t asked = latencies.size() * kBatchBlocks;
  const uint64_t read = read_of(asked);
  const auto bytes = static_cast<double>(read * options_.payload_bytes);
  const double cpu_seconds = ProcessUsage::Now().cpu_seconds - cpu_before;
  return Turn{.bytes_per_second = bytes / seconds,
              .p99_seconds = Quantile(std::move(latencies), 0.99),
              .cpu_seconds_per_gb = cpu_seconds / bytes * 1e9,
              .from_disk = static_cast<double>(read) / static_cast<double>(asked)};
}

Result<Turn> ColdBench::ReadRaw(const RawFile& raw, BatchReader& reader, int in_flight) {
  const auto fetch = [&](std::span<const uint32_t> batch) -> Status {
    std::vector<FilePlace> places;
    for (const uint32_t index : batch) {
      places.push_back({raw.fd(), uint64_t{index} * options_.payload_bytes,
                        static_cast<uint32_t>(options_.payload_bytes)});
    }
    std::atomic<bool> failed = false;
    reader.Read(places, [&](size_t, std::span<const std::byte> bytes) {
      if (bytes.empty()) failed = true;
    });
    if (failed) return Fail(Errc::kIo, "the plain file cannot be read; check the disk");
    return Ok();
  };
  return ReadTurn(in_flight, fetch, [](uint64_t asked) { return asked; });
}

/// With tiers of its own, which hold nothing yet: what is asked for once is not there.
Result<Turn> ColdBench::ReadStore(const Side& side, int in_flight) {
  TieredStoreOptions tier_options;
  tier_options.payload_bytes = options_.payload_bytes;
  // Room for what is pinned.
  tier_options.host_bytes = 8 * kBatchBlocks * (options_.payload_bytes + kKiB);
  CAIRN_TRY(const auto tiers, TieredStore::Open(tier_options, *side.cold));
  const auto fetch = [&](std::span<const uint32_t> batch) -> Status {
    std::vector<BlockId> ids;
    for (const uint32_t index : batch) ids.push_back(IdOf(index));
    CAIRN_TRY(const Pins pins, tiers->Fetch(ids));
    return Ok();
  };
  return ReadTurn(in_flight, fetch, [&](uint64_t) { return tiers->Report().back().hit_blocks; });
}

ReadRow ColdBench::Summarize(const Side& side, const std::vector<Turn>& raw) {
  ReadRow row;
  row.reads = side.reads;
  const auto median = [](const std::vector<Turn>& turns, double Turn::*value) {
    std::vector<double> values;
    for (const Turn& turn : turns) values.push_back(turn.*value);
    return Median(values);
  };
  const auto ratio = [&](double Turn::*value) {
    std::vector<double> ratios;
    for (size_t i = 0; i < raw.size(); ++i)
      ratios.push_back(side.turns[i].*value / (raw[i].*value));
    return Median(ratios);
  };
  row.ratio_to_raw = ratio(&Turn::bytes_per_second);
  row.p99_ratio = ratio(&Turn::p99_seconds);
  row.bytes_per_second = median(side.turns, &Turn::bytes_per_second);
  row.raw_bytes_per_second = median(raw, &Turn::bytes_per_second);
  row.p99_ms = 1e3 * median(side.turns, &Turn::p99_seconds);
  row.raw_p99_ms = 1e3 * median(raw, &Turn::p99_seconds);
  row.cpu_seconds_per_gb = median(side.turns, &Turn::cpu_seconds_per_gb);
  row.raw_cpu_seconds_per_gb = median(raw, &Turn::cpu_seconds_per_gb);
  row.from_disk = std::ranges::min(side.turns, {}, &Turn::from_disk).from_disk;
  return row;
}

Result<std::vector<ReadRow>> ColdBench::Read(const RawFile& raw,
                                             const std::vector<BlockReads>& ways) {
  order_.resize(blocks());
  std::iota(order_.begin(), order_.end(), 0u);
  std::ranges::shuffle(order_, random_);
  WorkerPool workers(15);
  BatchReader raw_reader(BatchReader::Method::kRing, workers);
  std::vector<Side> sides(ways.size());
  for (size_t i = 0; i < ways.size(); ++i) {
    sides[i].reads = ways[i];
    CAIRN_TRY(sides[i].cold,
              RocksColdStore::Open(store(), {.read_only = true, .block_reads = ways[i]}));
  }
  std::vector<ReadRow> rows;
  for (const int in_flight : kBatchesInFlight) {
    std::vector<Turn> raw_turns;
    for (Side& side : sides) side.turns.clear();
    for (int round = 0; round < options_.rounds; ++round) {
      CAIRN_TRY(CheckStop("reading"));
      CAIRN_TRY(const Turn turn, ReadRaw(raw, raw_reader, in_flight));
      raw_turns.push_back(turn);
      for (Side& side : sides) {
        CAIRN_TRY(const Turn own, ReadStore(side, in_flight));
        side.turns.push_back(own);
      }
    }
    for (const Side& side : sides) {
      rows.push_back(Summarize(side, raw_turns));
      rows.back().payload_bytes = options_.payload_bytes;
      rows.back().in_flight = in_flight;
    }
  }
  return rows;
}

}  // namespace

Result<ColdBenchResult> RunColdBench(const ColdBenchOptions& options,
                                     const std::vector<BlockReads>& ways,
                                     FunctionRef<bool(const std::string&)> stop) {
  ColdBench bench(options, stop);
  CAIRN_TRY(RawFile raw, bench.MakeRaw());
  ColdBenchResult result;
  CAIRN_TRY(result.ingest, bench.Ingest(raw));
  CAIRN_TRY(result.reads, bench.Read(raw, ways));
  std::error_code ignored;
  fs::remove_all(options.directory + "/store", ignored);
  return result;
}

}  // namespace cairn
