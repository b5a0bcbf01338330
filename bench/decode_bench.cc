#include "bench/decode_bench.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/progress.h"
#include "bench/aliased_cold_store.h"
#include "bench/metadata_cold_store.h"
#include "bench/process_usage.h"
#include "bench/random_llama.h"
#include "engine/engine.h"
#include "engine/stored_shape.h"
#include "model/llama.h"
#include "model/session_attention.h"

namespace cairn {
namespace {

constexpr int64_t kCommitTokens = 4096;  // as when a text is read
constexpr const char* kSession = "decode";

Error Stopped() { return Fail(Errc::kInterrupted, "stopped; nothing was kept"); }

LlamaConfig ConfigOf(const DecodeBenchOptions& options) {
  LlamaConfig config;
  config.layers = options.layers;
  config.hidden = options.hidden;
  config.ffn = options.ffn;
  config.query_heads = options.kv_heads * options.group;
  config.kv_heads = options.kv_heads;
  config.head_dim = options.block.head_dim;
  config.vocab = options.vocab;
  config.context = options.context;
  config.inverse_frequencies = options.Shape().inverse_frequencies;
  return config;
}

DeviceCounts operator+(const DeviceCounts& a, const DeviceCounts& b) {
  return {.copies = a.copies + b.copies,
          .batched_blocks = a.batched_blocks + b.batched_blocks,
          .bytes_to_device = a.bytes_to_device + b.bytes_to_device,
          .bytes_to_host = a.bytes_to_host + b.bytes_to_host,
          .waits = a.waits + b.waits,
          .launches = a.launches + b.launches};
}

class DecodeBench {
 public:
  DecodeBench(Device& device, const DecodeBenchOptions& options,
              FunctionRef<bool(const std::string&)> stop)
      : device_(device),
        options_(options),
        config_(ConfigOf(options)),
        stop_(stop),
        landmark_(static_cast<size_t>(options.hidden)),
        last_(landmark_.size()),
        new_(landmark_.size()) {
    random_.Fill(1, landmark_);
    random_.Fill(1, last_);
  }

  Result<DecodeBenchResult> Run();

 private:
  bool landmarks() const { return options_.mode == AttentionMode::kLandmark; }
  bool IsLandmark(int64_t row) const {
    const int64_t rows = options_.block.block_rows;
    return landmarks() && row % rows == rows - 1;
  }
  int64_t tokens() const { return session_->tokens(); }
  bool RowsFitTokens() const { return session_->rows() == options_.RowsOf(tokens()); }

  Status Open();
  Status OpenRandomPast(AliasedColdStore& cold);
  Status Read();
  Status ReadStep(int64_t left);
  Status Decode();
  Status DecodeToken();
  DeviceCounts Counts() const { return model_->device().Counts() + engine_->device()->Counts(); }
  TierReport ComputeTier() const { return engine_->tiers()->Report().front(); }
  Status ReportMemory(uint64_t free_before);

  Device& device_;
  const DecodeBenchOptions options_;
  const LlamaConfig config_;
  FunctionRef<bool(const std::string&)> stop_;
  RandomFloats random_{1};
  std::vector<float> landmark_, last_, new_;  // rows: of every landmark, the last decoded, scratch
  std::unique_ptr<DeviceLlama> model_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<Session> session_;
  std::unique_ptr<SessionAttention> attention_;
  DecodeBenchResult result_;
};

Status DecodeBench::Open() {
  const Stopwatch watch;
  CAIRN_TRY(model_, MakeRandomLlama(options_.device, config_, random_, stop_));
  if (stop_("making tiers")) return Stopped();
  const SessionShape shape = options_.Shape();
  EngineOptions engine;
  engine.host_bytes = options_.host_bytes > 0 ? options_.host_bytes : options_.HostBytes();
  engine.compute_bytes =
      options_.compute_bytes > 0 ? options_.compute_bytes : options_.ComputeBytes();
  engine.device = options_.device;
  std::unique_ptr<ColdStore> cold;
  AliasedColdStore* aliased = nullptr;
  if (options_.aliased > 0) {
    cold = std::make_unique<AliasedColdStore>(GridOf(shape));
    aliased = static_cast<AliasedColdStore*>(cold.get());
  } else {
    cold = std::make_unique<MetadataColdStore>();
  }
  CAIRN_TRY(engine_, Engine::Open(std::move(cold), engine));
  CAIRN_TRY(engine_->OpenTiers(shape, options_.Reading()));
  result_.making_seconds = watch.Seconds();
  if (aliased != nullptr) {
    CAIRN_TRY(OpenRandomPast(*aliased));
  } else {
    CAIRN_TRY(session_, engine_->CreateSession(kSession, shape, options_.Reading(), "{}"));
  }
  attention_ = std::make_unique<SessionAttention>(*session_);
  return Ok();
}

Status DecodeBench::OpenRandomPast(AliasedColdStore& cold) {
  const RandomPast past = options_.Past();
  const Stopwatch drawing;
  CAIRN_TRY(const uint64_t extent, engine_->catalog().NewExtent());
  cold.Alias(extent, static_cast<uint32_t>(past.blocks),
             static_cast<uint32_t>(options_.DistinctBlocks()),
             [&](const BlockId& id, std::byte* payload) { past.WritePayload(id, payload); });
  CAIRN_TRY(past.Commit(kSession, extent, engine_->catalog(), stop_));
  result_.drawing_seconds = drawing.Seconds();
  if (stop_("opening the session")) return Stopped();
  const Stopwatch opening;
  CAIRN_TRY(session_, engine_->OpenSession(kSession, past.shape, options_.Reading()));
  result_.opening_seconds = opening.Seconds();
  return Ok();
}

Status DecodeBench::ReadStep(int64_t left) {
  const int64_t first = session_->rows();
  int64_t rows = std::min<int64_t>(left, options_.chunk);
  if (rows > 1 && IsLandmark(first + rows)) --rows;  // a token and its landmark go together
  CAIRN_TRY(float* row, model_->Input(rows));
  std::vector<uint32_t> read;
  for (int64_t i = 0; i < rows; ++i, row += options_.hidden) {
    if (IsLandmark(first + i)) {
      std::ranges::copy(landmark_, row);
      continue;
    }
    random_.Fill(1, {row, landmark_.size()});
    read.push_back(0);
  }
  CAIRN_TRY(model_->Forward(static_cast<int32_t>(rows), *attention_, false, nullptr));
  session_->AddTokens(read);
  if (tokens() - session_->committed_tokens() < kCommitTokens) return Ok();
  return session_->Commit("{}");
}

Status DecodeBench::Read() {
  const int64_t rows = options_.RowsOf(options_.tokens);
  const Stopwatch watch;
  while (session_->rows() < rows) {
    const double passed = watch.Seconds();
    if (options_.read_seconds > 0 && passed >= options_.read_seconds) break;
    const auto done = static_cast<double>(session_->rows());
    const double left = done > 0 ? passed / done * (static_cast<double>(rows) - done) : 0;
    if (stop_(fmt::format("reading: {} of {} tokens, {} left", tokens(), options_.tokens,
                          FormatDuration(left)))) {
      return Stopped();
    }
    CAIRN_TRY(ReadStep(rows - session_->rows()));
  }
  CAIRN_CHECK(RowsFitTokens());
  CAIRN_TRY(session_->Commit("{}"));
  result_.reading_seconds = watch.Seconds();
  result_.read_tokens = tokens();
  result_.reading_tokens_per_second = static_cast<double>(tokens()) / result_.reading_seconds;
  return Ok();
}

// The row of a token, and the landmark behind it where it completes a block.
Status DecodeBench::DecodeToken() {
  const int32_t rows = IsLandmark(session_->rows() + 1) ? 2 : 1;
  random_.Fill(std::sqrt(1 - options_.repeat * options_.repeat), new_);
  for (size_t i = 0; i < last_.size(); ++i) last_[i] = options_.repeat * last_[i] + new_[i];
  CAIRN_TRY(float* row, model_->Input(rows));
  std::ranges::copy(last_, row);
  if (rows == 2) std::ranges::copy(landmark_, row + options_.hidden);
  CAIRN_TRY(const float* hidden, model_->Forward(rows, *attention_, true, nullptr));
  const uint32_t token = model_->Likeliest(hidden).value_or(0);
  session_->AddTokens({&token, 1});
  return Ok();
}

Status DecodeBench::Decode() {
  SessionOptions options = options_.Reading();
  options.selection = Selection::kPerToken;
  CAIRN_TRY(session_->SetOptions(options));
  std::vector<double> seconds;
  DeviceCounts before;
  TierReport tier_before;
  double all = 0;
  for (int32_t i = -options_.warm_up; i < options_.decode; ++i) {
    if (stop_(fmt::format("decoding: {} of {} tokens", std::max(i, 0), options_.decode))) {
      return Stopped();
    }
    if (i == 0) {
      before = Counts();
      tier_before = ComputeTier();
    }
    const Stopwatch watch;
    CAIRN_TRY(DecodeToken());
    if (i >= 0) seconds.push_back(watch.Seconds());
  }
  CAIRN_CHECK(RowsFitTokens());
  const DeviceCounts after = Counts();
  const TierReport tier = ComputeTier();
  const double count = options_.decode;
  const auto each = [&](uint64_t now, uint64_t then) {
    return static_cast<double>(now - then) / count;
  };
  for (const double second : seconds) all += second;
  result_.decode_seconds_p50 = Quantile(seconds, 0.5);
  result_.decode_seconds_p90 = Quantile(seconds, 0.9);
  result_.decode_seconds_p99 = Quantile(seconds, 0.99);
  result_.decode_seconds_most = Quantile(seconds, 1);
  result_.decode_tokens_per_second = count / all;
  result_.waits = each(after.waits, before.waits);
  result_.launches = each(after.launches, before.launches);
  result_.copied_bytes = each(after.bytes_to_device, before.bytes_to_device);
  result_.chosen_blocks = static_cast<double>(options_.Shape().partitions()) * options_.retrieve;
  result_.missed_blocks = each(tier.bytes_in, tier_before.bytes_in) /
                          static_cast<double>(options_.block.payload_bytes());
  result_.chosen_hit_share = std::max(0.0, 1 - result_.missed_blocks / result_.chosen_blocks);
  result_.hit_share = each(tier.hit_blocks, tier_before.hit_blocks) /
                      each(tier.fetched_blocks, tier_before.fetched_blocks);
  return Ok();
}

Status DecodeBench::ReportMemory(uint64_t free_before) {
  const SessionShape shape = options_.Shape();
  const TierReport tier = ComputeTier();
  const auto blocks = static_cast<uint64_t>(session_->rows() / shape.block.block_rows);
  result_.payload_bytes = blocks * shape.partitions() * shape.block.payload_bytes();
  result_.outside_share =
      1 - static_cast<double>(tier.held_bytes) / static_cast<double>(result_.payload_bytes);
  const auto shared = static_cast<uint64_t>(result_.blocks - options_.DistinctBlocks());
  result_.distinct_bytes = result_.payload_bytes;
  if (options_.aliased > 0) result_.distinct_bytes -= shared * GridOf(shape).bytes();
  result_.weight_bytes = model_->weight_bytes();
  result_.index_bytes = session_->index_bytes();
  result_.index = std::string(session_->index_name());
  result_.compute_tier_bytes = tier.capacity_bytes;
  CAIRN_TRY(const uint64_t free_bytes, device_.FreeBytes());
  result_.device_bytes = free_before - std::min(free_before, free_bytes);
  result_.besides_weights =
      result_.device_bytes - std::min(result_.device_bytes, result_.weight_bytes);
  result_.reckoned = options_.Reckon();
  result_.host_tier_bytes = engine_->tiers()->Report()[1].capacity_bytes;
  result_.host_bytes = ProcessUsage::Now().resident_bytes;
  return Ok();
}

Result<DecodeBenchResult> DecodeBench::Run() {
  CAIRN_TRY(options_.CheckDevice());
  CAIRN_TRY(options_.CheckHost());
  CAIRN_TRY(const uint64_t free_before, device_.FreeBytes());
  CAIRN_TRY(Open());
  if (options_.aliased == 0) CAIRN_TRY(Read());
  result_.past_tokens = tokens();
  result_.past_rows = session_->rows();
  result_.blocks = session_->rows() / options_.block.block_rows;
  if (result_.blocks <= options_.retrieve) {
    return Fail(Errc::kInvalidArgument,
                "{} tokens were read in --read-seconds {}, too few to choose {} blocks from; "
                "give it more time",
                result_.past_tokens, options_.read_seconds, options_.retrieve);
  }
  CAIRN_TRY(Decode());
  CAIRN_TRY(ReportMemory(free_before));
  return result_;
}

}  // namespace

Status RunDecodeBench(Device& device, const DecodeBenchOptions& options,
                      FunctionRef<bool(const std::string&)> stop,
                      FunctionRef<void(const DecodeBenchResult&)> report) {
  CAIRN_TRY(options.Validate());
  DecodeBench bench(device, options, stop);
  CAIRN_TRY(const DecodeBenchResult result, bench.Run());
  report(result);
  return Ok();
}

}  // namespace cairn
