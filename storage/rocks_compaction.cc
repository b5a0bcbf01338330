#include "storage/rocks_compaction.h"

#include <rocksdb/table_properties.h>
#include <sys/statvfs.h>

#include <algorithm>
#include <utility>

#include "base/byte_size.h"
#include "storage/block_format.h"
#include "storage/rocks_options.h"

namespace cairn {
namespace {

/// What a rewritten file and the manifest need beside the records, generously.
constexpr uint64_t kSpareBytes = 4 * kMiB;

}  // namespace

bool RocksCompaction::Joins(const FileRun& run, const FileRun& file) const {
  // An extent's files go as a whole when it is dropped, so only small ones share a file.
  const bool one_extent = run.first_extent == run.last_extent &&
                          run.last_extent == file.first_extent &&
                          file.first_extent == file.last_extent;
  return run.bytes + file.bytes <= (one_extent ? limits_.file_bytes : limits_.mixed_file_bytes);
}

Result<std::vector<RocksCompaction::FileRun>> RocksCompaction::Plan(
    const RocksDatabase::Access& access) const {
  rocksdb::TablePropertiesCollection properties;
  CAIRN_TRY(FromRocks(access.db->GetPropertiesOfAllTables(access.payload, &properties),
                      "cannot look at the files of the store " + database_.directory().path()));
  std::vector<rocksdb::LiveFileMetaData> files;
  access.db->GetLiveFilesMetaData(&files);
  const int bottom = access.db->NumberLevels(access.payload) - 1;
  std::erase_if(files, [&](const auto& file) {
    return file.column_family_name != kPayloadFamily || file.level != bottom ||
           file.smallestkey.empty();
  });
  std::ranges::sort(files, {}, &rocksdb::LiveFileMetaData::smallestkey);
  std::vector<FileRun> runs;
  for (const rocksdb::LiveFileMetaData& file : files) {
    CAIRN_TRY(const BlockId first, DecodeBlockKey(file.smallestkey));
    CAIRN_TRY(const BlockId last, DecodeBlockKey(file.largestkey));
    FileRun one{{file.name}, file.size, first.extent, last.extent};
    const auto found = properties.find(file.db_path + file.name);
    if (live_ != nullptr && found != properties.end()) {
      one.due = found->second->num_entries > live_->Count(first, last);
    }
    if (runs.empty() || !Joins(runs.back(), one)) {
      runs.push_back(std::move(one));
      continue;
    }
    FileRun& run = runs.back();
    run.names.push_back(file.name);
    run.bytes += one.bytes;
    run.last_extent = one.last_extent;
    run.due = true;
  }
  std::erase_if(runs, [](const FileRun& run) { return !run.due; });
  return runs;
}

Status RocksCompaction::CheckSpace(const FileRun& run) const {
  const std::string& path = database_.directory().path();
  const uint64_t need = run.bytes + kSpareBytes;
  struct statvfs disk {};
  if (statvfs(path.c_str(), &disk) != 0) return SystemError("look for free space at", path);
  const uint64_t free = uint64_t{disk.f_bavail} * disk.f_frsize;
  if (free < need) {
    return Fail(Errc::kOutOfSpace,
                "compacting the store {} needs {} of free space for a while and the disk has {}; "
                "free some, or delete sessions. What was compacted so far stays so",
                path, FormatByteSize(need), FormatByteSize(free));
  }
  if (disk_limit_bytes_ == 0) return Ok();
  const uint64_t now = database_.directory().Bytes();
  if (now + need <= disk_limit_bytes_) return Ok();
  return Fail(Errc::kOutOfSpace,
              "compacting the store {} would let it grow past --disk-limit {} for a while (it has "
              "{} and needs {} more); raise it. What was compacted so far stays so",
              path, FormatByteSize(disk_limit_bytes_), FormatByteSize(now), FormatByteSize(need));
}

Status RocksCompaction::Rewrite(const FileRun& run) {
  return database_.Write(
      RocksDatabase::Purpose::kAdd, [&](const RocksDatabase::Access& access) -> Status {
        rocksdb::CompactionOptions options;
        options.compression = rocksdb::kDisableCompressionOption;  // as the family says: none
        options.output_file_size_limit = std::max(limits_.file_bytes, run.bytes);
        options.max_subcompactions = 1;
        const rocksdb::Status status = access.db->CompactFiles(
            options, access.payload, run.names, access.db->NumberLevels(access.payload) - 1);
        // RocksDB is at work on one of them itself: the next time will do.
        if (status.IsAborted()) return Ok();
        return database_.AfterWrite(status,
                                    "cannot compact the store " + database_.directory().path());
      });
}

Status RocksCompaction::Run(CompactionWatch watch, CompactionReport& report) {
  std::vector<FileRun> runs;
  {
    CAIRN_TRY(const RocksDatabase::Access access, database_.Read());
    CAIRN_TRY(runs, Plan(access));
  }
  uint64_t total = 0, done = 0;
  for (const FileRun& run : runs) total += run.bytes;
  database_.filter().Begin(live_, &report);
  const auto rewrite_all = [&]() -> Status {
    for (const FileRun& run : runs) {
      CAIRN_TRY(watch(done, total));
      CAIRN_TRY(CheckSpace(run));
      const Status rewritten = Rewrite(run);
      done += run.bytes;
      if (rewritten) {
        report.rewritten_bytes += run.bytes;
        continue;
      }
      // A file that cannot be read stays as it is, and the others can be compacted all the same.
      if (rewritten.error().code != Errc::kCorruption) return rewritten;
      report.AddDamage(rewritten.error().message);
    }
    return Ok();
  };
  const Status status = rewrite_all();
  database_.filter().End();
  return status;
}

}  // namespace cairn
