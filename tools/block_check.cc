#include "tools/block_check.h"

#include <algorithm>
#include <vector>

#include "engine/block_map.h"
#include "tools/interrupt.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

struct Failed {
  ListedBlock block;
  Error error;
};

Result<std::vector<Failed>> Read(ColdStore& cold, size_t payload_bytes,
                                 std::span<const ListedBlock> blocks) {
  std::vector<std::byte> payload(payload_bytes);
  std::byte* const target = payload.data();
  std::vector<Failed> failed;
  for (const ListedBlock& block : blocks) {
    if (Interrupted()) return Fail(Errc::kInterrupted, "stopped; not everything was read");
    const Status status = cold.ReadBlocks({&block.id, 1}, payload_bytes, {&target, 1});
    if (!status.has_value()) failed.push_back({block, status.error()});
  }
  return failed;
}

/// Whether the session still has all of `blocks` where they were.
bool HasAll(const SessionRecord& was, const Result<SessionRecord>& now,
            std::span<const ListedBlock> blocks) {
  if (!now.has_value() || now.value().id != was.id) return false;
  const BlockMap map(now.value().ranges);
  return std::ranges::all_of(blocks, [&](const ListedBlock& block) {
    return block.block < map.size() &&
           map.Id(block.block, block.id.layer, block.id.head) == block.id;
  });
}

}  // namespace

Result<StoreCheck> CheckBlocks(const RunOptions& run, ColdStore& cold, const SessionRecord& record,
                               const SessionShape& shape, std::span<const ListedBlock> blocks) {
  const size_t payload_bytes = shape.block.payload_bytes();
  StoreCheck check;
  check.totals = {.sessions = 1,
                  .blocks = blocks.size(),
                  .payload_bytes = uint64_t{blocks.size()} * payload_bytes};
  CAIRN_TRY(const auto first, Read(cold, payload_bytes, blocks));
  if (first.empty()) return check;
  std::vector<ListedBlock> doubtful;
  for (const Failed& failed : first) doubtful.push_back(failed.block);
  CAIRN_TRY(auto anew, OpenStore(run, false, true));
  CAIRN_TRY(const auto catalog, SessionCatalog::Open(*anew, true));
  const auto now = catalog.Find(record.name);
  if (!now && IsUnreadable(now.error().code)) return now.as_failure();
  if (!HasAll(record, now, doubtful)) {
    return Fail(Errc::kNotFound,
                "session '{}' was deleted or changed while it was read; look at it again",
                record.name);
  }
  CAIRN_TRY(const auto again, Read(*anew, payload_bytes, doubtful));
  const int64_t tokens = shape.block_tokens();
  for (const Failed& failed : again) {
    const int64_t at = failed.block.block;
    check.findings.push_back({.damage = {.session = record.name,
                                         .block = failed.block.id,
                                         .ordinal = static_cast<uint64_t>(at),
                                         .what = failed.error.message,
                                         .code = failed.error.code},
                              .first_token = at * tokens,
                              .last_token = (at + 1) * tokens - 1});
  }
  return check;
}

}  // namespace cairn
