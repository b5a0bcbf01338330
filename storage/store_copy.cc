#include "storage/store_copy.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "storage/catalog_format.h"
#include "storage/extent_use.h"

namespace cairn {
namespace {

/// What sessions have of one extent.
struct ExtentBlocks {
  BlockGrid grid{};
  std::vector<ExtentRange> ranges{};  // some of them overlap
};

std::map<uint64_t, ExtentBlocks> BlocksByExtent(const std::vector<CopiedSession>& sessions) {
  std::map<uint64_t, ExtentBlocks> extents;
  for (const CopiedSession& session : sessions) {
    for (const ExtentRange& range : session.record.ranges) {
      ExtentBlocks& blocks = extents[range.extent];
      blocks.grid = session.grid;
      blocks.ranges.push_back(range);
    }
  }
  for (auto& [extent, blocks] : extents) {
    std::ranges::sort(blocks.ranges, {}, &ExtentRange::first);
  }
  return extents;
}

/// Writes what a scan has read, as it was stored.
Status WriteScanned(ColdStore& target, std::span<const ScannedBlock> blocks) {
  std::vector<BlockRecord> records;
  records.reserve(blocks.size());
  for (const ScannedBlock& block : blocks) {
    CAIRN_TRY(block.status);
    records.push_back({block.id, block.payload});
  }
  return target.WriteBlocks(records);
}

/// Puts entries into a batch, after a look at their checksums.
Status AddChecked(MetaEntries entries, MetaBatch& batch) {
  for (auto& [key, value] : entries) {
    CAIRN_TRY(OpenValue(key, value));
    batch.puts.emplace_back(key, std::move(value));
  }
  return Ok();
}

Status AddEntry(ColdStore& source, const std::string& key, MetaBatch& batch) {
  CAIRN_TRY(std::optional<std::string> value, source.ReadMeta(key));
  if (value) return AddChecked({{key, std::move(*value)}}, batch);
  return Fail(Errc::kCorruption, "the catalog entry {} is not there", DescribeKey(key));
}

}  // namespace

Status StoreCopy::CopyBlocks(ColdStore& source, const std::vector<CopiedSession>& sessions,
                             Watch watch) {
  const std::map<uint64_t, ExtentBlocks> extents = BlocksByExtent(sessions);
  uint64_t total = 0, done = 0;
  std::vector<std::pair<BlockGrid, ExtentRange>> parts;
  for (const auto& [extent, blocks] : extents) {
    uint64_t end = ends_[extent];
    for (const ExtentRange& range : blocks.ranges) {
      const uint64_t range_end = uint64_t{range.first} + range.count;
      const uint64_t first = std::clamp<uint64_t>(end, range.first, range_end);
      const auto count = static_cast<uint32_t>(range_end - first);
      end = std::max(end, range_end);
      if (count == 0) continue;
      parts.push_back({blocks.grid, {extent, static_cast<uint32_t>(first), count}});
      total += uint64_t{count} * blocks.grid.blocks();
    }
  }
  for (const auto& [grid, range] : parts) {
    BlockScan scan(source, grid, {range});
    while (true) {
      CAIRN_TRY(watch(done, total));
      const auto blocks = scan.Next();
      if (blocks.empty()) break;
      CAIRN_TRY(WriteScanned(target_, blocks));
      ends_[range.extent] = uint64_t{blocks.back().id.ordinal} + 1;
      done += blocks.size();
    }
  }
  return Ok();
}

Status StoreCopy::CopyCatalog(ColdStore& source, const std::vector<CopiedSession>& sessions) {
  // What an earlier view had.
  CAIRN_TRY(target_.WriteMeta({.delete_prefixes = {"s/", "t/", "a/", "m/"}}));
  std::vector<SessionRecord> records;
  MetaBatch last;  // after which the sessions are there
  CAIRN_TRY(AddEntry(source, std::string(kFormatKey), last));
  CAIRN_TRY(AddEntry(source, std::string(kNextKey), last));
  for (const CopiedSession& session : sessions) {
    const SessionRecord& record = session.record;
    records.push_back(record);
    MetaBatch batch;
    CAIRN_TRY(MetaEntries tokens, source.ScanMeta(TokensPrefix(record.id)));
    CAIRN_TRY(AddChecked(std::move(tokens), batch));
    if (record.tail_bytes > 0) CAIRN_TRY(AddEntry(source, TailKey(record.id), batch));
    CAIRN_TRY(target_.WriteMeta(batch));
    CAIRN_TRY(AddEntry(source, SessionKey(record.name), last));
  }
  const ExtentUse use(records);
  for (const auto& [extent, end] : use.ends()) {
    CAIRN_TRY(MetaEntries sections, source.ScanMeta(SectionsPrefix(extent)));
    std::erase_if(sections, [&, end = end](const auto& entry) {
      return FirstBlockInKey(entry.first) >= end;
    });
    MetaBatch batch;
    CAIRN_TRY(AddChecked(std::move(sections), batch));
    CAIRN_TRY(target_.WriteMeta(batch));
  }
  return target_.WriteMeta(last);
}

}  // namespace cairn
