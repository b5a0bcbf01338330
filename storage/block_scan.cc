#include "storage/block_scan.h"

#include <algorithm>
#include <utility>

#include "base/byte_size.h"
#include "base/check.h"

namespace cairn {
namespace {

constexpr uint64_t kBatchBytes = 32 * kMiB;

}  // namespace

BlockScan::BlockScan(ColdStore& cold, const BlockGrid& grid, std::vector<ExtentRange> ranges)
    : cold_(cold), grid_(grid), ranges_(std::move(ranges)) {
  CAIRN_CHECK(grid.bytes() > 0);
  for (const ExtentRange& range : ranges_) total_ += range.count;
}

std::span<const ScannedBlock> BlockScan::Next() {
  blocks_.clear();
  while (range_ < ranges_.size() && inside_ == ranges_[range_].count) {
    ++range_;
    inside_ = 0;
  }
  if (range_ == ranges_.size()) return {};
  const ExtentRange& range = ranges_[range_];
  const uint64_t fit = std::max<uint64_t>(1, kBatchBytes / grid_.bytes());
  const auto count = static_cast<uint32_t>(std::min<uint64_t>(range.count - inside_, fit));
  for (uint32_t i = 0; i < count; ++i) {
    for (uint16_t layer = 0; layer < grid_.layers; ++layer) {
      for (uint16_t head = 0; head < grid_.heads; ++head) {
        blocks_.push_back(
            {.id = {range.extent, range.first + inside_ + i, layer, head}, .ordinal = done_ + i});
      }
    }
  }
  Read();
  inside_ += count;
  done_ += count;
  return blocks_;
}

void BlockScan::Read() {
  const size_t payload_bytes = grid_.payload_bytes;
  payloads_.resize(blocks_.size() * payload_bytes);
  std::vector<BlockId> ids;
  std::vector<std::byte*> targets;
  for (size_t i = 0; i < blocks_.size(); ++i) {
    ids.push_back(blocks_[i].id);
    targets.push_back(payloads_.data() + i * payload_bytes);
  }
  const bool whole = cold_.ReadBlocks(ids, payload_bytes, targets).has_value();
  for (size_t i = 0; i < blocks_.size(); ++i) {
    ScannedBlock& block = blocks_[i];
    block.payload = {targets[i], payload_bytes};
    // After an error each by itself, to know which it was.
    if (!whole) block.status = cold_.ReadBlocks({&ids[i], 1}, payload_bytes, {&targets[i], 1});
  }
}

}  // namespace cairn
