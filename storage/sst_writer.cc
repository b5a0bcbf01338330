#include "storage/sst_writer.h"

#include <fmt/core.h>
#include <rocksdb/sst_file_reader.h>
#include <rocksdb/sst_file_writer.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "base/byte_size.h"
#include "storage/block_format.h"
#include "storage/rocks_options.h"

namespace cairn {
namespace {

constexpr uint64_t kMaxFileBytes = 64 * kMiB;
/// Below this a second writer gains less than a second file costs every later read.
constexpr uint64_t kMinSplitBytes = 16 * kMiB;

rocksdb::Slice AsSlice(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// RocksDB ends the process if it cannot read the ends of a file that it is to take.
Status CheckEnds(const rocksdb::Options& options, const std::string& path,
                 std::string_view action) {
  rocksdb::SstFileReader reader(options);
  CAIRN_TRY(FromRocks(reader.Open(path), action));
  const std::unique_ptr<rocksdb::Iterator> it(reader.NewIterator(rocksdb::ReadOptions()));
  it->SeekToFirst();
  CAIRN_TRY(FromRocks(it->status(), action));
  it->SeekToLast();
  return FromRocks(it->status(), action);
}

}  // namespace

IncomingFiles::~IncomingFiles() {
  for (const std::string& path : paths_) (void)env_->DeleteFile(path);
}

SstWriter::SstWriter(std::string directory, const rocksdb::Options& options, WorkerPool& workers,
                     int threads)
    : directory_(std::move(directory)),
      options_(options),
      workers_(workers),
      threads_(std::max(1, threads)) {}

std::vector<SstWriter::Records> SstWriter::Split(Records records) const {
  uint64_t total_bytes = 0;
  for (const BlockRecord& record : records) total_bytes += record.bytes.size();
  const uint64_t share = total_bytes / static_cast<uint64_t>(threads_) + 1;
  const uint64_t file_bytes = std::clamp(share, kMinSplitBytes, kMaxFileBytes);
  std::vector<Records> files;
  size_t begin = 0;
  uint64_t bytes = 0;
  for (size_t i = 0; i < records.size(); ++i) {
    const bool other_extent = records[i].id.extent != records[begin].id.extent;
    if (i > begin && (other_extent || bytes + records[i].bytes.size() > file_bytes)) {
      files.push_back(records.subspan(begin, i - begin));
      begin = i;
      bytes = 0;
    }
    bytes += records[i].bytes.size();
  }
  if (begin < records.size()) files.push_back(records.subspan(begin));
  return files;
}

Result<IncomingFiles> SstWriter::Write(Records records) {
  const std::vector<Records> parts = Split(records);
  IncomingFiles files(options_.env);
  for (size_t i = 0; i < parts.size(); ++i) {
    files.Add(fmt::format("{}/{:06}.sst", directory_, next_file_.fetch_add(1)),
              parts[i].front().id);
  }
  std::vector<Status> statuses(parts.size(), Status(Ok()));
  workers_.Run(parts.size(),
               [&](size_t i) { statuses[i] = WriteFile(parts[i], files.paths()[i]); });
  for (const Status& status : statuses) CAIRN_TRY(status);
  return files;
}

Status SstWriter::WriteFile(Records records, const std::string& path) const {
  rocksdb::EnvOptions env(options_);
  env.use_direct_writes = options_.use_direct_io_for_flush_and_compaction;
  rocksdb::SstFileWriter writer(env, options_);
  const std::string action = "cannot write block file " + path;
  CAIRN_TRY(FromRocks(writer.Open(path), action));
  for (const BlockRecord& record : records) {
    const BlockKey key = EncodeBlockKey(record.id);
    CAIRN_TRY(FromRocks(writer.Put(rocksdb::Slice(key.data(), key.size()), AsSlice(record.bytes)),
                        action));
  }
  CAIRN_TRY(FromRocks(writer.Finish(), action));
  // Finish alone has left a short file behind a power cut.
  CAIRN_TRY(SyncFile(options_.env, path, action));
  return CheckEnds(options_, path, action);
}

}  // namespace cairn
