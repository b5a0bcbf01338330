#include "bench/decode_options.h"

#include <fmt/core.h>

#include <algorithm>
#include <tuple>

#include "base/byte_size.h"
#include "bench/machine.h"
#include "engine/device_index.h"
#include "engine/resident_blocks.h"
#include "engine/step_attention.h"
#include "engine/stored_shape.h"
#include "engine/summary.h"
#include "storage/block_table.h"
#include "storage/slab_pool.h"

namespace cairn {
namespace {

constexpr uint64_t kShareOfBlocks = 25;
constexpr uint64_t kTokensOfChoices = 2;
constexpr uint64_t kMostOfAliased = 4 * kGiB;              // in a tier, by default
constexpr uint64_t kLimitBesidesWeights = 16'000'000'000;  // of an aliased past, by default
constexpr int32_t kRowsOfAToken = 2;                       // with the landmark behind it
constexpr double kRopeBase = 500000;

uint64_t SlotBytes(const BlockShape& block) {
  return SlabPool::SlotBytes(block.payload_bytes()) + BlockTable::kBytesPerSlot;
}

}  // namespace

SessionShape DecodeBenchOptions::Shape() const {
  SessionShape shape;
  shape.layers = layers;
  shape.query_heads = kv_heads * group;
  shape.kv_heads = kv_heads;
  shape.block = block;
  shape.mode = mode;
  shape.representatives = mode == AttentionMode::kLandmark ? 1 : std::max(1, block.block_rows / 16);
  shape.context_rows = context;
  shape.inverse_frequencies = RopeTable::InverseFrequencies(kRopeBase, block.head_dim);
  return shape;
}

SessionOptions DecodeBenchOptions::Reading() const {
  SessionOptions reading;
  reading.retrieve = retrieve;
  reading.recent_tokens = recent_tokens;
  reading.max_step_rows = aliased > 0 ? kRowsOfAToken : chunk;  // then there is nothing to read
  reading.query_stride = query_stride;
  reading.index = index;
  return reading;
}

int64_t DecodeBenchOptions::RowsOf(int64_t token_count) const {
  if (mode != AttentionMode::kLandmark) return token_count;
  return token_count + token_count / (block.block_rows - 1);
}

int64_t DecodeBenchOptions::PastBlocks() const { return RowsOf(tokens) / block.block_rows; }

int64_t DecodeBenchOptions::AllBlocks() const {
  return RowsOf(tokens + warm_up + decode) / block.block_rows;
}

RandomPast DecodeBenchOptions::Past() const { return {.shape = Shape(), .blocks = PastBlocks()}; }

int64_t DecodeBenchOptions::DistinctBlocks() const {
  return aliased > 0 ? std::min<int64_t>(aliased, PastBlocks()) : PastBlocks();
}

uint64_t DecodeBenchOptions::BytesOfBlocks(int64_t blocks_per_head) const {
  return static_cast<uint64_t>(blocks_per_head) * static_cast<uint64_t>(Shape().partitions()) *
         SlotBytes(block);
}

uint64_t DecodeBenchOptions::LeastHostBytes() const {
  // With few blocks it is what one fetch pins that counts.
  const uint64_t fetch =
      (StepAttention::MostBlocksPerFetch(Shape(), Reading()) + 1) * SlotBytes(block);
  return aliased > 0 ? fetch : std::max(fetch, BytesOfBlocks(AllBlocks() + 1));
}

uint64_t DecodeBenchOptions::HostBytes() const {
  if (aliased == 0) return LeastHostBytes();
  return std::max(LeastHostBytes(), std::min(BytesOfBlocks(AllBlocks() + 1), kMostOfAliased));
}

uint64_t DecodeBenchOptions::ComputeBytes() const {
  const SessionOptions reading = Reading();
  const bool landmark = mode == AttentionMode::kLandmark;
  const auto fixed = static_cast<uint64_t>(
      landmark ? 0 : reading.sinks + reading.recent_tokens / block.block_rows + 1);
  const uint64_t token = static_cast<uint64_t>(Shape().partitions()) * (retrieve + fixed);
  const uint64_t least = StepAttention::MostBlocksPerFetch(Shape(), reading);
  const uint64_t share = BytesOfBlocks(AllBlocks() + 1) / kShareOfBlocks;
  return std::max({aliased > 0 ? std::min(share, kMostOfAliased) : share,
                   kTokensOfChoices * token * SlotBytes(block), least * SlotBytes(block)});
}

uint64_t DecodeBenchOptions::DeviceLimit() const {
  if (device_limit > 0) return device_limit;
  return aliased > 0 ? kLimitBesidesWeights : 0;
}

DeviceReckoning DecodeBenchOptions::Reckon() const {
  const SessionShape shape = Shape();
  const auto rows = static_cast<uint64_t>(Reading().max_step_rows);
  const auto vectors = static_cast<uint64_t>(AllBlocks()) * shape.representatives;
  const auto open_blocks = rows / shape.block.block_rows + 2;
  DeviceReckoning reckoned;
  reckoned.index = DeviceIndex::MemoryBytes(IndexOptionsOf(shape, index), AllBlocks());
  reckoned.blocks = compute_bytes > 0 ? compute_bytes : ComputeBytes();
  reckoned.table = ResidentBlocks::TableBytes(shape.partitions(), PastBlocks());
  reckoned.scores =
      sizeof(float) * kRowsOfAToken *
          (vectors * shape.query_heads + static_cast<uint64_t>(AllBlocks()) * shape.kv_heads) +
      open_blocks * shape.partitions() * shape.block.open().payload_bytes();
  return reckoned;
}

Status DecodeBenchOptions::CheckDevice() const {
  const uint64_t limit = DeviceLimit();
  const DeviceReckoning reckoned = Reckon();
  if (limit == 0 || reckoned.all() <= limit) return Ok();
  const SessionShape shape = Shape();
  return Fail(Errc::kResource,
              "besides weights, {} tokens take {} of the device, more than --device-limit {}: "
              "landmarks {} ({} for each of {} blocks of {} KV heads, --mode {} --index {}), "
              "blocks {} (--compute-memory), tables and scores {}; least take --mode landmark "
              "--index int8, one for a block and a byte a number",
              tokens, FormatByteSize(reckoned.all()), FormatByteSize(limit),
              FormatByteSize(reckoned.index), shape.representatives, AllBlocks(),
              shape.partitions(), AttentionModeName(mode), IndexKindName(index),
              FormatByteSize(reckoned.blocks), FormatByteSize(reckoned.table + reckoned.scores));
}

// Blocks that a device reads are page-locked, and what is short of memory then ends other programs.
Status DecodeBenchOptions::CheckHost() const {
  const SessionShape shape = Shape();
  uint64_t needed = host_bytes > 0 ? host_bytes : HostBytes();
  if (aliased > 0) {
    const RandomPast past = Past();
    needed += past.KeptBytes() + past.PassingBytes();
    needed += static_cast<uint64_t>(DistinctBlocks()) * GridOf(shape).bytes();
    needed += ResidentBlocks::TableBytes(shape.partitions(), PastBlocks());
  } else {
    needed += static_cast<uint64_t>(AllBlocks()) * shape.layers * SummaryBytes(shape);
  }
  const uint64_t available = host_limit > 0 ? host_limit
                                            : std::min(AvailableMemory().value_or(UINT64_MAX),
                                                       GroupMemory().value_or(UINT64_MAX));
  if (needed <= available) return Ok();
  return Fail(Errc::kResource,
              "{} tokens take {} of the host's memory, a block in {} of it, and {} are {}; use "
              "fewer --tokens, or --kv-type q8{}",
              tokens, FormatByteSize(needed), FormatByteSize(SlotBytes(shape.block)),
              FormatByteSize(available), host_limit > 0 ? "allowed by --host-limit" : "available",
              host_limit > 0 ? "" : "; --host-limit, if the system would give more than it says");
}

Status DecodeBenchOptions::Validate() const {
  CAIRN_TRY(DeviceShape::Validate());
  for (const auto& [name, value, least] : {std::tuple("--hidden", hidden, 8),
                                           {"--ffn", ffn, 8},
                                           {"--vocab", vocab, 2},
                                           {"--context", context, 2},
                                           {"--recent", recent_tokens, 0},
                                           {"--chunk", chunk, 2},
                                           {"--query-stride", query_stride, 1},
                                           {"--aliased", aliased, 0},
                                           {"--warm-up", warm_up, 0},
                                           {"--decode", decode, 1}}) {
    CAIRN_TRY(AtLeast(name, value, least));
  }
  if (!(repeat >= 0 && repeat < 1)) {
    return Fail(Errc::kInvalidArgument, "--repeat {}: use a share from 0 to below 1", repeat);
  }
  if (!(read_seconds >= 0)) {
    return Fail(Errc::kInvalidArgument, "--read-seconds {}: use 0 or more", read_seconds);
  }
  if (aliased > 0 && read_seconds > 0) {
    return Fail(Errc::kInvalidArgument, "--read-seconds {}: nothing is read with --aliased",
                read_seconds);
  }
  if (index != IndexKind::kAuto && index != IndexKind::kInt8) {
    return Fail(Errc::kInvalidArgument, "--index {}: a model on a device searches by auto or int8",
                IndexKindName(index));
  }
  const SessionShape shape = Shape();
  CAIRN_TRY(shape.Validate());
  CAIRN_TRY(Reading().Validate(shape));
  if (PastBlocks() <= retrieve || (aliased > 0 && AllBlocks() > INT32_MAX)) {
    return Fail(Errc::kInvalidArgument,
                "--tokens {}: these are {} blocks; use more than --retrieve {}, and below 2^31",
                tokens, PastBlocks(), retrieve);
  }
  // Of aliased blocks the tiers say themselves what is too little.
  if (aliased > 0 || host_bytes == 0 || host_bytes >= LeastHostBytes()) return Ok();
  return Fail(Errc::kResource,
              "--host-memory {}: the host tier has all blocks of the past, which take {}; give it "
              "that, or use fewer --tokens",
              FormatByteSize(host_bytes), FormatByteSize(LeastHostBytes()));
}

}  // namespace cairn
