#include "storage/rocks_cold_store.h"

#include <rocksdb/convenience.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <mutex>
#include <set>
#include <utility>

#include "base/byte_size.h"
#include "storage/block_format.h"
#include "storage/rocks_compaction.h"
#include "storage/rocks_database.h"
#include "storage/rocks_options.h"
#include "storage/rocks_reader.h"
#include "storage/sst_writer.h"
#include "storage/store_directory.h"
#include "storage/worker_pool.h"

namespace cairn {
namespace {

using rocksdb::Slice;
using Purpose = RocksDatabase::Purpose;

/// What a file holds beside its records, generously: index, filter, properties.
constexpr uint64_t kFileOverheadBytes = 64 * kKiB;

/// The catalog is read past the page cache; entries that follow each other come in one read.
constexpr size_t kScanReadBytes = 512 * kKiB;

Slice AsSlice(const BlockKey& key) { return {key.data(), key.size()}; }

/// The least key above every key that begins with `prefix`; empty if there is none.
std::string PrefixEnd(std::string prefix) {
  while (!prefix.empty() && static_cast<uint8_t>(prefix.back()) == 0xff) prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(static_cast<uint8_t>(prefix.back()) + 1);
  return prefix;
}

/// The key range [begin, end) of an extent from `from` on; `end` has the form of a key, because
/// RocksDB reports it as a bound of files that hold a tombstone.
struct KeyRange {
  KeyRange(uint64_t extent, uint32_t from)
      : begin(EncodeBlockKey({.extent = extent, .ordinal = from})),
        end(EncodeBlockKey({.extent = extent + 1})) {}
  BlockKey begin;
  BlockKey end;
};

/// Whether records lie in the range. Records too damaged to be looked at count as there, so that
/// damage can still be dropped.
Result<bool> AnyRecord(const RocksDatabase::Access& access, const KeyRange& range) {
  rocksdb::ReadOptions read;
  const Slice end = AsSlice(range.end);
  read.iterate_upper_bound = &end;
  std::unique_ptr<rocksdb::Iterator> it(access.db->NewIterator(read, access.payload));
  it->Seek(AsSlice(range.begin));
  if (it->status().IsCorruption()) return true;
  CAIRN_TRY(FromRocks(it->status(), "cannot list the blocks of the store"));
  return it->Valid();
}

/// Adds every extent in [first, last] that may have records, and perhaps others.
Status AddCandidates(const RocksDatabase::Access& access, uint64_t first, uint64_t last,
                     std::set<uint64_t>& extents) {
  extents.insert({first, last});
  std::unique_ptr<rocksdb::Iterator> it(
      access.db->NewIterator(rocksdb::ReadOptions(), access.payload));
  for (uint64_t extent = first; extent < last;) {
    const KeyRange next(extent + 1, 0);
    it->Seek(AsSlice(next.begin));
    if (it->status().IsCorruption()) {
      extents.insert(++extent);
      continue;
    }
    CAIRN_TRY(FromRocks(it->status(), "cannot list the blocks of the store"));
    if (!it->Valid()) break;
    CAIRN_TRY(const BlockId id, DecodeBlockKey(it->key().ToStringView()));
    extent = id.extent;
    if (extent < last) extents.insert(extent);
  }
  return Ok();
}

}  // namespace

struct RocksColdStore::Impl {
  Impl(std::unique_ptr<RocksDatabase> opened, const RocksSetup& setup,
       const RocksColdStoreOptions& opts)
      : options(opts),
        database(std::move(opened)),
        reader(database->directory(), opts.env == nullptr ? opts.block_reads : BlockReads::kRocks,
               setup.direct_io, opts.read_threads),
        writers(opts.write_threads - 1),
        sst(database->directory().incoming_path(),
            rocksdb::Options(MakeDbOptions(setup), MakePayloadOptions()), writers,
            opts.write_threads) {}

  uint64_t DiskBytes(const RocksDatabase::Access& access) const;
  Status CheckDiskLimit(const RocksDatabase::Access& access,
                        std::span<const BlockRecord> records) const;
  Status Ingest(const RocksDatabase::Access& access, std::span<const BlockRecord> records);
  Status CheckAdded(const RocksDatabase::Access& access, const IncomingFiles& files);
  Status DropUnbounded(const RocksDatabase::Access& access);
  Status Drop(const RocksDatabase::Access& access, const KeyRange& keys);
  Status Apply(const RocksDatabase::Access& access, const MetaBatch& batch);
  std::string Action(std::string_view action) const {
    return fmt::format("cannot {} the store {}", action, database->directory().path());
  }

  const RocksColdStoreOptions options;
  std::unique_ptr<RocksDatabase> database;
  RocksReader reader;
  WorkerPool writers;
  SstWriter sst;
  std::mutex log_mutex;    // one change of the log at a time: the mark tells of no others
  std::mutex write_mutex;  // one WriteBlocks or DropExtent at a time: the limit is checked first
  std::atomic<uint64_t> bytes_written = 0;
  std::atomic<uint64_t> bytes_read = 0;
};

Result<std::unique_ptr<RocksColdStore>> RocksColdStore::Open(const std::string& directory,
                                                             const RocksColdStoreOptions& options) {
  if (options.read_threads < 1 || options.write_threads < 1) {
    return Fail(Errc::kInvalidArgument, "a store needs at least one thread to read and to write");
  }
  using Use = StoreDirectory::Use;
  const Use use = options.read_only ? Use::kRead
                  : options.create  ? Use::kWriteOrCreate
                                    : Use::kWrite;
  CAIRN_TRY(StoreDirectory opened, StoreDirectory::Open(directory, use));
  RocksSetup setup;
  setup.create = use == Use::kWriteOrCreate;
  setup.read_only = options.read_only;
  setup.direct_io = opened.SupportsDirectIo();
  setup.meta_buffer_bytes = options.meta_buffer_bytes;
  setup.read_threads = options.read_threads;
  if (options.env != nullptr) setup.env = options.env;
  CAIRN_TRY(auto database, RocksDatabase::Open(std::move(opened), setup));
  auto impl = std::make_unique<Impl>(std::move(database), setup, options);
  if (!options.read_only) {
    CAIRN_TRY(impl->database->Write(Purpose::kFree, [&](const RocksDatabase::Access& access) {
      return impl->DropUnbounded(access);
    }));
  }
  return std::make_unique<RocksColdStore>(std::move(impl));
}

RocksColdStore::RocksColdStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RocksColdStore::~RocksColdStore() = default;

/// RocksDB knows the sizes of its table files; to ask the system for them takes 0.1 s if there are
/// 16,000.
uint64_t RocksColdStore::Impl::DiskBytes(const RocksDatabase::Access& access) const {
  uint64_t bytes = database->directory().BytesBesideTables();
  for (rocksdb::ColumnFamilyHandle* family : {access.meta, access.payload}) {
    uint64_t table_bytes = 0;
    if (!access.db->GetIntProperty(family, rocksdb::DB::Properties::kTotalSstFilesSize,
                                   &table_bytes)) {
      return database->directory().Bytes();
    }
    bytes += table_bytes;
  }
  return bytes;
}

Status RocksColdStore::Impl::CheckDiskLimit(const RocksDatabase::Access& access,
                                            std::span<const BlockRecord> records) const {
  if (options.disk_limit_bytes == 0) return Ok();
  uint64_t new_bytes = kFileOverheadBytes;
  for (const BlockRecord& record : records) new_bytes += record.bytes.size() + kBlockKeyBytes;
  const uint64_t now_bytes = DiskBytes(access);
  if (now_bytes + new_bytes <= options.disk_limit_bytes) return Ok();
  return Fail(Errc::kOutOfSpace,
              "the store {} would grow past --disk-limit {} (it has {} and needs {} more); raise "
              "it or delete sessions",
              database->directory().path(), FormatByteSize(options.disk_limit_bytes),
              FormatByteSize(now_bytes), FormatByteSize(new_bytes));
}

/// RocksDB takes a file whose first block it failed to read for an empty one: it has no bounds, and
/// its blocks are never found.
Status RocksColdStore::Impl::CheckAdded(const RocksDatabase::Access& access,
                                        const IncomingFiles& files) {
  for (const BlockId& id : files.firsts()) {
    const BlockKey key = EncodeBlockKey(id);
    rocksdb::PinnableSlice value;
    const rocksdb::Status status =
        access.db->Get(rocksdb::ReadOptions(), access.payload, AsSlice(key), &value);
    if (status.ok()) continue;
    CAIRN_TRY(DropUnbounded(access));
    return Fail(Errc::kIo, "{}: {} was written and cannot be read ({}); make sure the disk works",
                Action("add blocks to"), ToString(id), status.ToString());
  }
  return Ok();
}

/// Files without bounds were never acknowledged.
Status RocksColdStore::Impl::DropUnbounded(const RocksDatabase::Access& access) {
  std::vector<rocksdb::LiveFileMetaData> files;
  access.db->GetLiveFilesMetaData(&files);
  for (const rocksdb::LiveFileMetaData& file : files) {
    if (file.column_family_name != kPayloadFamily || !file.smallestkey.empty()) continue;
    CAIRN_TRY(database->AfterWrite(access.db->DeleteFile(file.name),
                                   Action("remove an unreadable file from")));
  }
  return Ok();
}

Status RocksColdStore::WriteBlocks(std::span<const BlockRecord> records) {
  CAIRN_TRY(CheckWriteOrder(records));
  const std::lock_guard lock(impl_->write_mutex);
  Status status = impl_->database->Write(Purpose::kAdd, [&](const RocksDatabase::Access& access) {
    return impl_->Ingest(access, records);
  });
  if (status) {
    impl_->reader.NoteAdded();
  } else {
    impl_->reader.NoteReplaced();
  }
  return status;
}

Status RocksColdStore::Impl::Ingest(const RocksDatabase::Access& access,
                                    std::span<const BlockRecord> records) {
  if (records.empty()) return Ok();
  CAIRN_TRY(CheckDiskLimit(access, records));
  CAIRN_TRY(const IncomingFiles files, sst.Write(records));
  rocksdb::IngestExternalFileOptions options;
  options.move_files = true;
  options.snapshot_consistency = false;
  options.write_global_seqno = false;
  CAIRN_TRY(
      database->AfterWrite(access.db->IngestExternalFile(access.payload, files.paths(), options),
                           Action("add blocks to")));
  CAIRN_TRY(CheckAdded(access, files));
  for (const BlockRecord& record : records) bytes_written += record.bytes.size();
  return Ok();
}

Status RocksColdStore::ReadBlocks(std::span<const BlockId> ids, size_t record_bytes,
                                  std::span<std::byte* const> targets) {
  CAIRN_TRY(const RocksDatabase::Access access, impl_->database->Read());
  CAIRN_TRY(impl_->reader.Read(access, ids, record_bytes, targets));
  impl_->bytes_read += ids.size() * record_bytes;
  return Ok();
}

Status RocksColdStore::DropExtent(uint64_t extent, uint32_t from) {
  if (extent == UINT64_MAX) {
    return Fail(Errc::kInvalidArgument, "extent {} is out of range", extent);
  }
  const std::lock_guard lock(impl_->write_mutex);
  Status status = impl_->database->Write(Purpose::kFree, [&](const RocksDatabase::Access& access) {
    return impl_->Drop(access, KeyRange(extent, from));
  });
  impl_->reader.NoteDropped(extent);
  if (!status) impl_->reader.NoteReplaced();
  return status;
}

Status RocksColdStore::Impl::Drop(const RocksDatabase::Access& access, const KeyRange& keys) {
  CAIRN_TRY(bool left, AnyRecord(access, keys));
  if (!left) return Ok();
  // Whole files go at once; a tombstone covers what shares a file with blocks that stay.
  const Slice begin = AsSlice(keys.begin), end = AsSlice(keys.end);
  const rocksdb::RangePtr range(&begin, &end);
  CAIRN_TRY(database->AfterWrite(
      rocksdb::DeleteFilesInRanges(access.db, access.payload, &range, 1, false),
      Action("drop blocks from")));
  CAIRN_TRY(left, AnyRecord(access, keys));
  if (!left) return Ok();
  rocksdb::WriteOptions write;
  write.sync = true;
  const std::lock_guard lock(log_mutex);
  return database->AfterWrite(access.db->DeleteRange(write, access.payload, begin, end),
                              Action("drop blocks from"));
}

Result<std::vector<uint64_t>> RocksColdStore::Extents() {
  CAIRN_TRY(const RocksDatabase::Access access, impl_->database->Read());
  // The bounds of each file are known without reading it; a file holds several extents only where
  // RocksDB has merged files.
  std::vector<rocksdb::LiveFileMetaData> files;
  access.db->GetLiveFilesMetaData(&files);
  std::set<uint64_t> candidates;
  for (const rocksdb::LiveFileMetaData& file : files) {
    if (file.column_family_name != kPayloadFamily || file.smallestkey.empty()) continue;
    CAIRN_TRY(const BlockId smallest, DecodeBlockKey(file.smallestkey));
    CAIRN_TRY(const BlockId largest, DecodeBlockKey(file.largestkey));
    CAIRN_TRY(AddCandidates(access, smallest.extent, largest.extent, candidates));
  }
  std::vector<uint64_t> extents;
  for (const uint64_t extent : candidates) {
    CAIRN_TRY(const bool any, AnyRecord(access, KeyRange(extent, 0)));
    if (any) extents.push_back(extent);
  }
  return extents;
}

Status RocksColdStore::WriteMeta(const MetaBatch& batch) {
  Status status = impl_->database->Write(
      batch.puts.empty() ? Purpose::kFree : Purpose::kAdd,
      [&](const RocksDatabase::Access& access) { return impl_->Apply(access, batch); });
  if (!status) impl_->reader.NoteReplaced();
  return status;
}

Status RocksColdStore::Impl::Apply(const RocksDatabase::Access& access, const MetaBatch& batch) {
  const std::string action = Action("write metadata of");
  rocksdb::WriteBatch writes;
  for (const std::string& prefix : batch.delete_prefixes) {
    const std::string end = PrefixEnd(prefix);
    if (end.empty()) return Fail(Errc::kInvalidArgument, "a prefix to delete must not be empty");
    CAIRN_TRY(FromRocks(writes.DeleteRange(access.meta, prefix, end), action));
  }
  for (const std::string& key : batch.deletes) {
    CAIRN_TRY(FromRocks(writes.Delete(access.meta, key), action));
  }
  for (const auto& [key, value] : batch.puts) {
    CAIRN_TRY(FromRocks(writes.Put(access.meta, key, value), action));
  }
  rocksdb::WriteOptions write;
  write.sync = true;
  const std::lock_guard lock(log_mutex);
  return database->AfterWrite(access.db->Write(write, &writes), action);
}

Result<std::optional<std::string>> RocksColdStore::ReadMeta(std::string_view key) {
  CAIRN_TRY(const RocksDatabase::Access access, impl_->database->Read());
  std::string value;
  const rocksdb::Status status =
      access.db->Get(rocksdb::ReadOptions(), access.meta, Slice(key), &value);
  if (status.IsNotFound()) return std::optional<std::string>();
  CAIRN_TRY(FromRocks(status, impl_->Action("read metadata of")));
  return std::optional<std::string>(std::move(value));
}

Result<MetaEntries> RocksColdStore::ScanMeta(std::string_view prefix) {
  CAIRN_TRY(const RocksDatabase::Access access, impl_->database->Read());
  MetaEntries entries;
  rocksdb::ReadOptions read;
  read.readahead_size = kScanReadBytes;
  std::unique_ptr<rocksdb::Iterator> it(access.db->NewIterator(read, access.meta));
  for (it->Seek(Slice(prefix)); it->Valid() && it->key().starts_with(Slice(prefix)); it->Next()) {
    entries.emplace_back(it->key().ToString(), it->value().ToString());
  }
  CAIRN_TRY(FromRocks(it->status(), impl_->Action("read metadata of")));
  return entries;
}

ColdStoreStats RocksColdStore::Stats() {
  ColdStoreStats stats;
  stats.bytes_written = impl_->bytes_written;
  stats.bytes_read = impl_->bytes_read;
  const Result<RocksDatabase::Access> opened = impl_->database->Read();
  if (!opened) {
    stats.disk_bytes = impl_->database->directory().Bytes();
    return stats;
  }
  const RocksDatabase::Access& access = opened.value();
  stats.disk_bytes = impl_->DiskBytes(access);
  for (rocksdb::ColumnFamilyHandle* family : {access.meta, access.payload}) {
    for (int level = 0; level < access.db->NumberLevels(family); ++level) {
      std::string files;
      const std::string property =
          rocksdb::DB::Properties::kNumFilesAtLevelPrefix + std::to_string(level);
      if (access.db->GetProperty(family, property, &files)) stats.table_files += std::stoull(files);
    }
  }
  (void)access.db->GetIntProperty(access.payload, rocksdb::DB::Properties::kLiveSstFilesSize,
                                  &stats.payload_bytes);
  return stats;
}

Result<std::vector<StoreFile>> RocksColdStore::Files() {
  CAIRN_TRY(const RocksDatabase::Access access, impl_->database->Read());
  std::vector<rocksdb::LiveFileMetaData> live;
  access.db->GetLiveFilesMetaData(&live);
  std::vector<StoreFile> files;
  for (const rocksdb::LiveFileMetaData& file : live) {
    files.push_back({.name = "db" + file.name,
                     .payload = file.column_family_name == access.payload->GetName(),
                     .level = file.level,
                     .bytes = file.size,
                     .entries = file.num_entries});
  }
  std::ranges::sort(files, {}, &StoreFile::name);
  return files;
}

void RocksColdStore::RemoveIfNew() { impl_->database->RemoveIfNew(); }

Status RocksColdStore::Compact(const LiveBlocks* live, const CompactionLimits& limits,
                               CompactionWatch watch, CompactionReport& report) {
  const std::lock_guard lock(impl_->write_mutex);
  RocksDatabase& database = *impl_->database;
  const Status compacted =
      RocksCompaction(database, live, limits, impl_->options.disk_limit_bytes).Run(watch, report);
  impl_->reader.NoteReplaced();
  CAIRN_TRY(compacted);
  return database.Write(Purpose::kAdd, [&](const RocksDatabase::Access& access) {
    const std::lock_guard log_lock(impl_->log_mutex);
    return database.AfterWrite(
        access.db->CompactRange(rocksdb::CompactRangeOptions(), access.meta, nullptr, nullptr),
        impl_->Action("compact the metadata of"));
  });
}

}  // namespace cairn
