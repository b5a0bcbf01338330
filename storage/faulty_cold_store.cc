#include "storage/faulty_cold_store.h"

#include <algorithm>
#include <utility>

#include "storage/block_format.h"

namespace cairn {
namespace {

constexpr const char* kNames[] = {"WriteBlocks", "ReadBlocks", "DropExtent", "Extents",
                                  "WriteMeta",   "ReadMeta",   "ScanMeta",   "call"};

}  // namespace

void FaultyColdStore::FailNth(ColdOperation operation, uint64_t nth, Errc code) {
  std::lock_guard lock(mutex_);
  Order& order = orders_[static_cast<size_t>(operation)];
  order.left = nth;
  order.code = code;
}

void FaultyColdStore::FailAfterWriteMeta(Errc code) {
  std::lock_guard lock(mutex_);
  after_write_meta_ = code;
}

void FaultyColdStore::Heal() {
  std::lock_guard lock(mutex_);
  for (Order& order : orders_) order.left = 0;
  damaged_.clear();
  space_left_bytes_.reset();
  after_write_meta_.reset();
}

bool FaultyColdStore::Armed() const {
  std::lock_guard lock(mutex_);
  if (after_write_meta_) return true;
  return std::ranges::any_of(orders_, [](const Order& order) { return order.left > 0; });
}

void FaultyColdStore::Damage(const BlockId& id, Errc code) {
  std::lock_guard lock(mutex_);
  damaged_[id] = code;
}

void FaultyColdStore::LimitSpace(uint64_t bytes) {
  std::lock_guard lock(mutex_);
  space_left_bytes_ = bytes;
}

uint64_t FaultyColdStore::calls(ColdOperation operation) const {
  std::lock_guard lock(mutex_);
  return orders_[static_cast<size_t>(operation)].calls;
}

Status FaultyColdStore::Count(Order& order, const char* name) {
  ++order.calls;
  if (order.left == 0 || --order.left > 0) return Ok();
  return Fail(order.code, "{} number {} failed as the test ordered", name, order.calls);
}

Status FaultyColdStore::Enter(ColdOperation operation) {
  std::lock_guard lock(mutex_);
  const size_t kind = static_cast<size_t>(operation);
  CAIRN_TRY(Count(orders_.back(), kNames[kind]));
  return Count(orders_[kind], kNames[kind]);
}

Status FaultyColdStore::WriteBlocks(std::span<const BlockRecord> records) {
  CAIRN_TRY(Enter(ColdOperation::kWriteBlocks));
  {
    std::lock_guard lock(mutex_);
    uint64_t bytes = 0;
    for (const BlockRecord& record : records) bytes += record.payload.size();
    if (space_left_bytes_ && bytes > *space_left_bytes_) {
      return Fail(Errc::kOutOfSpace, "no space left, as the test ordered");
    }
    if (space_left_bytes_) *space_left_bytes_ -= bytes;
  }
  return inner_.WriteBlocks(records);
}

Status FaultyColdStore::ReadBlocks(std::span<const BlockId> ids, size_t payload_bytes,
                                   std::span<std::byte* const> targets) {
  CAIRN_TRY(Enter(ColdOperation::kReadBlocks));
  CAIRN_TRY(inner_.ReadBlocks(ids, payload_bytes, targets));
  std::lock_guard lock(mutex_);
  for (const BlockId& id : ids) {
    const auto found = damaged_.find(id);
    if (found == damaged_.end()) continue;
    if (found->second == Errc::kCorruption) return BlockDamaged(id, "the test ordered it");
    return Fail(found->second, "{} cannot be read, as the test ordered", ToString(id));
  }
  return Ok();
}

Status FaultyColdStore::DropExtent(uint64_t extent, uint32_t from) {
  CAIRN_TRY(Enter(ColdOperation::kDropExtent));
  return inner_.DropExtent(extent, from);
}

Result<std::vector<uint64_t>> FaultyColdStore::Extents() {
  CAIRN_TRY(Enter(ColdOperation::kExtents));
  return inner_.Extents();
}

Status FaultyColdStore::WriteMeta(const MetaBatch& batch) {
  CAIRN_TRY(Enter(ColdOperation::kWriteMeta));
  CAIRN_TRY(inner_.WriteMeta(batch));
  std::lock_guard lock(mutex_);
  const std::optional<Errc> code = std::exchange(after_write_meta_, std::nullopt);
  if (!code) return Ok();
  return Fail(*code, "WriteMeta took effect and failed as the test ordered");
}

Result<std::optional<std::string>> FaultyColdStore::ReadMeta(std::string_view key) {
  CAIRN_TRY(Enter(ColdOperation::kReadMeta));
  return inner_.ReadMeta(key);
}

Result<MetaEntries> FaultyColdStore::ScanMeta(std::string_view prefix) {
  CAIRN_TRY(Enter(ColdOperation::kScanMeta));
  return inner_.ScanMeta(prefix);
}

}  // namespace cairn
