#include "storage/block_run.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

#include "storage/block_format.h"
#include "storage/byte_reader.h"
#include "storage/catalog_format.h"

namespace cairn {
namespace {

constexpr size_t kPrefixBytes = kRunPrefix.size();

Error OtherForm(std::string_view key) {
  return Fail(Errc::kCorruption,
              "the catalog entry {} is damaged: its bytes are not of the form that was written; "
              "restore the store from a copy, or delete the session",
              DescribeKey(key));
}

std::string KeyOf(std::string_view prefix, const BlockId& first) {
  const BlockKey key = EncodeBlockKey(first);
  return std::string(prefix).append(key.data(), key.size());
}

}  // namespace

uint64_t BlockRun::Row(const BlockId& id) const {
  return (uint64_t{id.ordinal} * layers + id.layer) * heads + id.head;
}

uint64_t BlockRun::Distance(const BlockId& id) const { return Row(id) - Row(first); }

BlockId BlockRun::At(uint64_t distance) const {
  const uint64_t row = Row(first) + distance;
  return {first.extent, static_cast<uint32_t>(row / heads / layers),
          static_cast<uint16_t>(row / heads % layers), static_cast<uint16_t>(row % heads)};
}

std::optional<uint32_t> BlockRun::IndexOf(const BlockId& id) const {
  if (id.extent != first.extent || id < first || id.layer >= layers || id.head >= heads) return {};
  const uint64_t distance = Distance(id);
  if (distance >= blocks) return {};
  return static_cast<uint32_t>(distance);
}

std::vector<BlockRun> RunsOf(std::span<const BlockRecord> records, uint64_t most_bytes) {
  struct Grid {
    uint32_t layers = 1, heads = 1;
  };
  std::map<uint64_t, Grid> grids;  // by extent
  for (const BlockRecord& record : records) {
    Grid& grid = grids[record.id.extent];
    grid.layers = std::max(grid.layers, record.id.layer + 1u);
    grid.heads = std::max(grid.heads, record.id.head + 1u);
  }
  std::vector<BlockRun> runs;
  for (const auto& [id, payload] : records) {
    const auto bytes = static_cast<uint32_t>(payload.size());
    BlockRun* last = runs.empty() ? nullptr : &runs.back();
    const bool joins = last != nullptr && last->first.extent == id.extent &&
                       last->payload_bytes == bytes && last->Distance(id) == last->blocks &&
                       last->bytes() + bytes <= most_bytes;
    if (joins) {
      ++last->blocks;
      continue;
    }
    const Grid& grid = grids[id.extent];
    runs.push_back({.first = id,
                    .blocks = 1,
                    .payload_bytes = bytes,
                    .layers = grid.layers,
                    .heads = grid.heads});
  }
  return runs;
}

std::string RunKey(const BlockId& first) { return KeyOf(kRunPrefix, first); }
std::string ChecksumsKey(const BlockId& first) { return KeyOf(kChecksumsPrefix, first); }

Result<BlockId> FirstInRunKey(std::string_view key) {
  if (key.size() != kPrefixBytes + kBlockKeyBytes) return OtherForm(key);
  return DecodeBlockKey(key.substr(kPrefixBytes));
}

std::string EncodeRun(const BlockRun& run) {
  std::string body;
  AppendBytes(body, run.segment);
  AppendBytes(body, run.offset);
  AppendBytes(body, run.blocks);
  AppendBytes(body, run.payload_bytes);
  AppendBytes(body, run.layers);
  AppendBytes(body, run.heads);
  return SealValue(RunKey(run.first), std::move(body));
}

Result<BlockRun> DecodeRun(std::string_view key, std::string value) {
  CAIRN_TRY(const std::string body, OpenValue(key, std::move(value)));
  BlockRun run;
  CAIRN_TRY(run.first, FirstInRunKey(key));
  ByteReader reader(body);
  run.segment = reader.Take<uint64_t>();
  run.offset = reader.Take<uint64_t>();
  run.blocks = reader.Take<uint32_t>();
  run.payload_bytes = reader.Take<uint32_t>();
  run.layers = reader.Take<uint32_t>();
  run.heads = reader.Take<uint32_t>();
  constexpr uint64_t kMost = uint64_t{1} << 62;
  constexpr uint64_t kMostEach = uint64_t{1} << 16, kMostOfAnOrdinal = uint64_t{1} << 28;
  const bool grid = run.layers <= kMostEach && run.heads <= kMostEach &&
                    uint64_t{run.layers} * run.heads <= kMostOfAnOrdinal &&
                    run.first.layer < run.layers && run.first.head < run.heads;
  const bool sound = reader.Done() && grid && run.segment > 0 && run.blocks > 0 &&
                     run.payload_bytes > 0 && run.offset % kSegmentPageBytes == 0 &&
                     run.offset < kMost && run.bytes() < kMost &&
                     (run.Row(run.first) + run.blocks - 1) / run.heads / run.layers <= UINT32_MAX;
  if (!sound) return OtherForm(key);
  return run;
}

std::string EncodeChecksums(const BlockId& first, std::span<const uint64_t> checksums) {
  std::string body(checksums.size_bytes(), '\0');
  if (!checksums.empty()) std::memcpy(body.data(), checksums.data(), body.size());
  return SealValue(ChecksumsKey(first), std::move(body));
}

Result<std::vector<uint64_t>> DecodeChecksums(std::string_view key, std::string value,
                                              uint32_t blocks) {
  CAIRN_TRY(const std::string body, OpenValue(key, std::move(value)));
  std::vector<uint64_t> checksums(body.size() / sizeof(uint64_t));
  if (body.size() % sizeof(uint64_t) != 0 || checksums.size() < blocks) return OtherForm(key);
  if (!body.empty()) std::memcpy(checksums.data(), body.data(), body.size());
  return checksums;
}

}  // namespace cairn
