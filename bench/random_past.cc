#include "bench/random_past.h"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "base/check.h"
#include "engine/stored_shape.h"
#include "engine/summary.h"
#include "kernels/block_rows.h"

namespace cairn {
namespace {

constexpr int64_t kBlocksOfACommit = 4096;
constexpr int64_t kCopiesOfACommit = 4;    // drawn, encoded, in a batch, kept
constexpr int64_t kCopiesOfALayer = 3;     // read, decoded, and a section of it as floats
constexpr uint64_t kOfPayloads = 1 << 16;  // sequences: layers come before

// splitmix64, whose steps are as good from any state.
constexpr uint64_t kStep = 0x9e3779b97f4a7c15u;
uint64_t Mixed(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace

QuickNormals::QuickNormals(uint64_t seed, uint64_t sequence)
    : state_(Mixed(Mixed(seed + kStep) + Mixed(sequence + 2 * kStep))) {}

uint64_t QuickNormals::Next() { return Mixed(state_ += kStep); }

void QuickNormals::Fill(float scale, std::span<float> values) {
  constexpr float kMean = 2 * 65535.0f;
  const float unit = scale / std::sqrt(4.0f / 12.0f * 65536.0f * 65536.0f);
  for (float& value : values) {
    const uint64_t bits = Next();
    const uint64_t sum =
        (bits & 0xffff) + (bits >> 16 & 0xffff) + (bits >> 32 & 0xffff) + (bits >> 48);
    value = unit * (static_cast<float>(sum) - kMean);
  }
}

uint64_t RandomPast::KeptBytes() const {
  const uint64_t summaries = static_cast<uint64_t>(blocks) * shape.layers * SummaryBytes(shape);
  return summaries + static_cast<uint64_t>(tokens()) * sizeof(uint32_t);
}

uint64_t RandomPast::PassingBytes() const {
  const int64_t block = shape.layers * static_cast<int64_t>(SummaryBytes(shape));
  const int64_t commit = kCopiesOfACommit * std::min(blocks, kBlocksOfACommit) * block;
  const int64_t at_once = std::min(Threads(), shape.layers);  // layers
  const int64_t opening = kCopiesOfALayer * blocks * block / shape.layers * at_once;
  return static_cast<uint64_t>(std::max(commit, opening));
}

std::string RandomPast::Summaries(int32_t layer, int64_t first, int64_t count) const {
  const DType type = SummaryDType(shape);
  const auto per_head =
      static_cast<size_t>(shape.representatives) * static_cast<size_t>(shape.block.head_dim);
  const int32_t keys =
      shape.mode == AttentionMode::kLandmark ? 1 : shape.block.block_rows / shape.representatives;
  const float scale = 1 / std::sqrt(static_cast<float>(keys));
  std::vector<float> numbers(static_cast<size_t>(shape.kv_heads) * per_head);
  std::string packed(static_cast<size_t>(count) * SummaryBytes(shape), '\0');
  char* target = packed.data();
  for (int64_t block = first; block < first + count; ++block, target += SummaryBytes(shape)) {
    const uint64_t sequence = static_cast<uint64_t>(block) << 32 | static_cast<uint32_t>(layer);
    QuickNormals(seed, sequence).Fill(scale, numbers);
    ConvertFromFloat(type, numbers.data(), target, numbers.size());
  }
  return packed;
}

void RandomPast::WritePayload(const BlockId& id, std::byte* payload) const {
  const BlockShape open = shape.block.open();
  std::vector<float> numbers(2 * static_cast<size_t>(open.block_rows) *
                             static_cast<size_t>(open.head_dim));
  const uint64_t part = uint64_t{id.layer} * static_cast<uint64_t>(shape.kv_heads) + id.head;
  const uint64_t sequence = uint64_t{id.ordinal} << 32 | (kOfPayloads + part);
  QuickNormals(seed, sequence).Fill(1, numbers);
  if (shape.block.dtype != DType::kQ8) {
    ConvertFromFloat(open.dtype, numbers.data(), payload, numbers.size());
    return;
  }
  std::vector<std::byte> rows(open.payload_bytes());
  ConvertFromFloat(open.dtype, numbers.data(), rows.data(), numbers.size());
  SealBlock(shape.block, rows.data(), payload);
}

Status RandomPast::Commit(const std::string& name, uint64_t extent, SessionCatalog& catalog,
                          FunctionRef<bool(const std::string&)> stop) const {
  CAIRN_CHECK(blocks > 0 && blocks <= INT32_MAX);
  SessionCommit commit;
  CAIRN_TRY(commit.record, catalog.Create(name, ToJson({DescribeShape(shape), "", "{}"})));
  for (int64_t first = 0; first < blocks; first += kBlocksOfACommit) {
    if (stop(fmt::format("drawing the past: {} of {} blocks", first, blocks))) {
      return Fail(Errc::kInterrupted, "stopped; nothing was kept");
    }
    const int64_t count = std::min(kBlocksOfACommit, blocks - first);
    commit.sections.assign(static_cast<size_t>(shape.layers), {});
    ParallelFor(shape.layers, [&](int64_t layer) {
      commit.sections[static_cast<size_t>(layer)] = {
          SummaryType(shape.mode),
          1,
          extent,
          static_cast<uint16_t>(layer),
          static_cast<uint32_t>(first),
          static_cast<uint32_t>(count),
          Summaries(static_cast<int32_t>(layer), first, count)};
    });
    SessionRecord& record = commit.record;
    record.ranges = {{extent, 0, static_cast<uint32_t>(first + count)}};
    record.rows = static_cast<uint64_t>((first + count) * shape.block.block_rows);
    record.tokens = static_cast<uint64_t>((first + count) * shape.block_tokens());
    ++record.commits;
    commit.new_tokens.assign(static_cast<size_t>(count * shape.block_tokens()), 0);
    CAIRN_TRY(catalog.Commit(commit));
  }
  return Ok();
}

}  // namespace cairn
