#include "storage/rocks_compaction.h"

#include <sys/statvfs.h>

#include <algorithm>
#include <utility>

#include "base/byte_size.h"
#include "storage/store_directory.h"

namespace cairn {
namespace {

/// What the catalog needs beside the payloads, generously.
constexpr uint64_t kSpareBytes = 4 * kMiB;

}  // namespace

Result<std::vector<RocksCompaction::Group>> RocksCompaction::Plan() {
  std::map<uint64_t, Group> segments;
  for (RunMap::Entry& entry : blocks_.Runs()) {
    Group& segment = segments[entry.run.segment];
    segment.bytes += WholePages(entry.run.bytes());
    segment.segments = 1;
    segment.runs.push_back(std::move(entry));
  }
  std::vector<Group> groups;
  for (auto& [number, segment] : segments) {
    const Result<SegmentInfo> info = blocks_.segments().Look(number);
    if (!info) continue;  // it is lost, which reading its blocks tells
    segment.wasteful = info.value().allocated_bytes > segment.bytes + segment.bytes / 4;
    if (!segment.wasteful && segment.bytes >= options_.segment_bytes / 2) continue;
    if (groups.empty() || groups.back().bytes + segment.bytes > options_.segment_bytes) {
      groups.push_back(std::move(segment));
      continue;
    }
    Group& group = groups.back();
    std::ranges::move(segment.runs, std::back_inserter(group.runs));
    group.bytes += segment.bytes;
    group.segments += 1;
    group.wasteful = group.wasteful || segment.wasteful;
  }
  std::erase_if(groups, [](const Group& group) { return group.segments == 1 && !group.wasteful; });
  for (Group& group : groups) {
    std::ranges::sort(group.runs, {}, [](const RunMap::Entry& entry) { return entry.run.first; });
  }
  return groups;
}

Status RocksCompaction::CheckSpace(const Group& group) const {
  const std::string& path = database_.directory().path();
  const std::string& name = database_.directory().name();
  const uint64_t need = group.bytes + kSpareBytes;
  struct statvfs disk {};
  if (statvfs(path.c_str(), &disk) != 0) return SystemError("look for free space at", path);
  const uint64_t free = uint64_t{disk.f_bavail} * disk.f_frsize;
  if (free < need) {
    return Fail(Errc::kOutOfSpace,
                "compacting the store {} needs {} of free space for a while and the disk has {}; "
                "free some, or delete sessions. What was compacted so far stays so",
                name, FormatByteSize(need), FormatByteSize(free));
  }
  if (options_.disk_limit_bytes == 0) return Ok();
  const uint64_t now = database_.directory().Bytes();
  if (now + need <= options_.disk_limit_bytes) return Ok();
  return Fail(Errc::kOutOfSpace,
              "compacting the store {} would let it grow past --disk-limit {} for a while (it has "
              "{} and needs {} more); raise it. What was compacted so far stays so",
              name, FormatByteSize(options_.disk_limit_bytes), FormatByteSize(now),
              FormatByteSize(need));
}

Status RocksCompaction::Rewrite(const RocksDatabase::Access& access, Group& group, Commit commit,
                                CompactionReport& report) {
  std::vector<BlockRun> moved;
  rocksdb::WriteBatch batch;
  blocks_.writer().StartNewFile();
  for (RunMap::Entry& entry : group.runs) {
    entry.checksums = blocks_.ChecksumsOf(access, entry.run.first);
    BlockRun copy;
    CAIRN_TRY(const bool copied, blocks_.CopyRun(entry, copy, report));
    if (!copied) continue;  // it stays where it is, and its file with it
    CAIRN_TRY(FromRocks(batch.Put(access.meta, RunKey(copy.first), EncodeRun(copy)), "runs"));
    moved.push_back(copy);
  }
  CAIRN_TRY(blocks_.writer().Sync());
  blocks_.writer().StartNewFile();
  if (moved.empty()) return Ok();
  const Status committed = commit(access, batch);
  if (!committed) {
    // Nobody knows whether the catalog names the old files now or the new ones.
    blocks_.KeepAll();
    return committed;
  }
  for (const BlockRun& run : moved) report.rewritten_bytes += run.bytes();
  return blocks_.FinishMove(moved);
}

Status RocksCompaction::Run(Commit commit, CompactionWatch watch, CompactionReport& report) {
  if (!blocks_.sound()) {
    report.AddDamage("an entry of the catalog that tells where blocks lie cannot be read");
    return Ok();
  }
  CAIRN_TRY(std::vector<Group> groups, Plan());
  uint64_t total = 0, done = 0;
  for (const Group& group : groups) total += group.bytes;
  for (Group& group : groups) {
    CAIRN_TRY(watch(done, total));
    CAIRN_TRY(CheckSpace(group));
    const Status rewritten =
        database_.Write(RocksDatabase::Purpose::kAdd, [&](const RocksDatabase::Access& access) {
          return Rewrite(access, group, commit, report);
        });
    if (!rewritten) {
      blocks_.writer().StartNewFile();
      (void)blocks_.FreeAll().has_value();  // what was copied for nothing
      return rewritten;
    }
    done += group.bytes;
  }
  return Ok();
}

}  // namespace cairn
