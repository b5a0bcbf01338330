// RocksBlocks: runs that are copied as they are, for compaction.
#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "storage/block_format.h"
#include "storage/rocks_blocks.h"

namespace cairn {
namespace {

/// Sees a run's bytes in order and tells which blocks are not what was written.
class RunCheck {
 public:
  RunCheck(const BlockRun& run, std::span<const uint64_t> checksums, CompactionReport& report)
      : run_(run), checksums_(checksums), report_(report) {}

  void See(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const size_t count = std::min<size_t>(bytes.size(), run_.payload_bytes - part_.size());
      if (part_.empty() && count == run_.payload_bytes) {
        Check(bytes.first(count));
      } else {
        part_.insert(part_.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(count));
        if (part_.size() == run_.payload_bytes) {
          Check(part_);
          part_.clear();
        }
      }
      bytes = bytes.subspan(count);
    }
  }

 private:
  void Check(std::span<const std::byte> payload) {
    const BlockId id = run_.At(index_);
    if (PayloadChecksum(id, payload) != checksums_[index_]) {
      report_.AddDamage(BlockDamaged(id, "its checksum does not fit").message);
    }
    ++index_;
  }

  const BlockRun& run_;
  const std::span<const uint64_t> checksums_;
  CompactionReport& report_;
  std::vector<std::byte> part_;  // of a block
  size_t index_ = 0;
};

}  // namespace

std::vector<RunMap::Entry> RocksBlocks::Runs() {
  const std::lock_guard lock(mutex_);
  std::vector<RunMap::Entry> runs;
  for (const auto& [first, entry] : runs_.entries()) {
    if (entry.known) runs.push_back(entry);
  }
  return runs;
}

std::vector<uint64_t> RocksBlocks::ChecksumsOf(const RocksDatabase::Access& access,
                                               const BlockId& first) {
  (void)LoadChecksums(access, {first}).has_value();
  const std::lock_guard lock(mutex_);
  const RunMap::Entry* const entry = runs_.FindFirst(first);
  return entry == nullptr ? std::vector<uint64_t>() : entry->checksums;
}

Result<bool> RocksBlocks::CopyRun(const RunMap::Entry& entry, BlockRun& copy,
                                  CompactionReport& report) {
  const BlockRun& run = entry.run;
  copy = run;
  const Result<RocksSegments::File*> file = segments_.Open(run.segment);
  if (!file) {
    report.AddDamage(file.error().message);
    return false;
  }
  CompactionReport seen;
  RunCheck check(run, entry.checksums, seen);
  Status read = Ok();
  const auto fill = [&](uint64_t offset, std::span<std::byte> bytes) -> Status {
    // The memory of a piece has room for whole pages.
    read = segments_.Read(*file.value(), run.offset + offset,
                          {bytes.data(), WholePages(bytes.size())});
    if (read && !entry.checksums.empty()) check.See(bytes);
    return read;
  };
  const Status copied = writer_.AppendRun(copy, fill, InUse());
  segments_.Release(file.value());
  if (!read) {
    report.AddDamage(read.error().message);
    return false;
  }
  CAIRN_TRY(copied);
  if (entry.checksums.empty()) {
    report.AddDamage(BlockDamaged(run.first, "its checksum cannot be read").message);
  }
  report.copied_blocks += run.blocks;
  report.damaged_blocks += seen.damaged_blocks - seen.damages.size();
  for (const std::string& what : seen.damages) report.AddDamage(what);
  return true;
}

Status RocksBlocks::FinishMove(std::span<const BlockRun> moved) {
  std::set<uint64_t> left;
  {
    const std::lock_guard lock(mutex_);
    for (const BlockRun& run : moved) {
      RunMap::Entry* const entry = runs_.FindFirst(run.first);
      left.insert(entry->run.segment);
      entry->run = run;
    }
  }
  for (const uint64_t segment : left) CAIRN_TRY(Free(segment, false));
  return Ok();
}

}  // namespace cairn
