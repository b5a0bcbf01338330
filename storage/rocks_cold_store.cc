#include "storage/rocks_cold_store.h"

#include <rocksdb/table_properties.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <utility>

#include "base/byte_size.h"
#include "base/hash.h"
#include "storage/catalog_format.h"
#include "storage/rocks_blocks.h"
#include "storage/rocks_compaction.h"
#include "storage/rocks_database.h"
#include "storage/rocks_options.h"
#include "storage/store_directory.h"

namespace cairn {
namespace {

using rocksdb::Slice;
using Purpose = RocksDatabase::Purpose;

/// What the catalog and the file system need for a write, generously.
constexpr uint64_t kWriteOverheadBytes = 64 * kKiB;

/// The catalog is read past the page cache; entries that follow each other come in one read.
constexpr size_t kScanReadBytes = 512 * kKiB;

/// The least key above every key that begins with `prefix`; empty if there is none.
std::string PrefixEnd(std::string prefix) {
  while (!prefix.empty() && static_cast<uint8_t>(prefix.back()) == 0xff) prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(static_cast<uint8_t>(prefix.back()) + 1);
  return prefix;
}

/// Of the name that RocksDB gives a database when it is made.
uint64_t IdentityOf(const RocksDatabase::Access& access) {
  std::string name;
  return access.db->GetDbIdentity(name).ok() ? Hash64(name.data(), name.size()) : 0;
}

}  // namespace

struct RocksColdStore::Impl {
  Impl(std::unique_ptr<RocksDatabase> opened, const RocksSetup& setup,
       const RocksColdStoreOptions& opts)
      : options(opts),
        database(std::move(opened)),
        blocks(database->directory().blocks_path(), opts, setup.direct_io) {}

  Status Load();
  /// Of table files without their entries.
  Result<std::vector<StoreFile>> Files(const RocksDatabase::Access& access);
  Status CheckDiskLimit(std::span<const BlockRecord> records) const;
  Status Drop(const RocksDatabase::Access& access, uint64_t extent, uint32_t from);
  Status Apply(const RocksDatabase::Access& access, const MetaBatch& batch);
  Status Commit(const RocksDatabase::Access& access, rocksdb::WriteBatch& writes,
                std::string_view action);
  std::string Action(std::string_view action) const {
    return fmt::format("cannot {} the store {}", action, database->directory().name());
  }

  const RocksColdStoreOptions options;
  std::unique_ptr<RocksDatabase> database;
  RocksBlocks blocks;
  std::mutex write_mutex;  // one change at a time: the mark tells of no others
  std::atomic<uint64_t> bytes_written = 0;
  std::atomic<uint64_t> bytes_read = 0;
};

namespace {

/// Whether the store is of the present format. kUnsupported if it is of another one; false if that
/// cannot be read, which the catalog tells.
Result<bool> CheckFormat(const RocksDatabase::Access& access, const std::string& path) {
  std::string value;
  const rocksdb::Status got =
      access.db->Get(rocksdb::ReadOptions(), access.meta, Slice(kFormatKey), &value);
  // A new store has nothing yet. In one that something was written to the entry is lost.
  if (got.IsNotFound()) {
    return access.db->GetLatestSequenceNumber() == 0 && access.old_payload == nullptr;
  }
  const Result<std::string> body = got.ok() ? OpenValue(kFormatKey, std::move(value))
                                            : Result<std::string>(RocksError(got, path));
  const Result<uint32_t> version = body ? DecodeFormat(body.value()) : body.as_failure();
  if (!version) return false;
  CAIRN_TRY(CheckFormatVersion(version.value(), path));
  return true;
}

}  // namespace

Result<std::unique_ptr<RocksColdStore>> RocksColdStore::Open(const std::string& directory,
                                                             const RocksColdStoreOptions& options) {
  if (options.read_threads < 1 || options.write_threads < 1) {
    return Fail(Errc::kInvalidArgument, "a store needs at least one thread to read and to write");
  }
  using Use = StoreDirectory::Use;
  const Use use = options.read_only ? Use::kRead
                  : options.create  ? Use::kWriteOrCreate
                                    : Use::kWrite;
  // Beside a writer segments come and go: look again.
  constexpr int kAttempts = 8;
  for (int attempt = 1;; ++attempt) {
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
    CAIRN_TRY(impl->Load());
    const bool whole = !options.read_only || impl->blocks.OpenAll().has_value();
    if (whole || attempt == kAttempts) return std::make_unique<RocksColdStore>(std::move(impl));
  }
}

Status RocksColdStore::Impl::Load() {
  bool sound = false;
  {
    CAIRN_TRY(const RocksDatabase::Access access, database->Read());
    CAIRN_TRY(sound, CheckFormat(access, database->directory().name()));
    CAIRN_TRY(blocks.Load(access, sound && !options.read_only));
  }
  if (options.read_only) return Ok();
  CAIRN_TRY(blocks.segments().Make());
  if (sound) CAIRN_TRY(database->DropOldPayload());
  return blocks.FreeAll();
}

RocksColdStore::RocksColdStore(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RocksColdStore::~RocksColdStore() = default;

Status RocksColdStore::Impl::CheckDiskLimit(std::span<const BlockRecord> records) const {
  if (options.disk_limit_bytes == 0) return Ok();
  uint64_t new_bytes = kWriteOverheadBytes;
  for (const BlockRecord& record : records) new_bytes += record.payload.size();
  const uint64_t now_bytes = database->directory().Bytes();
  if (now_bytes + new_bytes <= options.disk_limit_bytes) return Ok();
  return Fail(Errc::kOutOfSpace,
              "the store {} would grow past --disk-limit {} (it has {} and needs {} more); raise "
              "it or delete sessions",
              database->directory().name(), FormatByteSize(options.disk_limit_bytes),
              FormatByteSize(now_bytes), FormatByteSize(new_bytes));
}

Status RocksColdStore::WriteBlocks(std::span<const BlockRecord> records) {
  CAIRN_TRY(CheckWriteOrder(records));
  if (records.empty()) return Ok();
  const std::lock_guard lock(impl_->write_mutex);
  CAIRN_TRY(impl_->database->Write(Purpose::kAdd, [&](const RocksDatabase::Access&) -> Status {
    CAIRN_TRY(impl_->CheckDiskLimit(records));
    return impl_->blocks.Append(records);
  }));
  for (const BlockRecord& record : records) impl_->bytes_written += record.payload.size();
  return Ok();
}

Status RocksColdStore::ReadBlocks(std::span<const BlockId> ids, size_t payload_bytes,
                                  std::span<std::byte* const> targets) {
  CAIRN_TRY(const RocksDatabase::Access access, impl_->database->Read());
  CAIRN_TRY(impl_->blocks.Read(access, ids, payload_bytes, targets));
  impl_->bytes_read += ids.size() * payload_bytes;
  return Ok();
}

Status RocksColdStore::DropExtent(uint64_t extent, uint32_t from) {
  const std::lock_guard lock(impl_->write_mutex);
  return impl_->database->Write(Purpose::kFree, [&](const RocksDatabase::Access& access) {
    return impl_->Drop(access, extent, from);
  });
}

Status RocksColdStore::Impl::Drop(const RocksDatabase::Access& access, uint64_t extent,
                                  uint32_t from) {
  const RunMap::Cut cut = blocks.PlanDrop(extent, from);
  if (cut.empty()) return Ok();
  rocksdb::WriteBatch writes;
  CAIRN_TRY(blocks.AddDrop(access, cut, writes));
  if (writes.Count() > 0) CAIRN_TRY(Commit(access, writes, Action("drop blocks from")));
  return blocks.FinishDrop(cut);
}

Result<std::vector<uint64_t>> RocksColdStore::Extents() { return impl_->blocks.Extents(); }

Status RocksColdStore::WriteMeta(const MetaBatch& batch) {
  const std::lock_guard lock(impl_->write_mutex);
  return impl_->database->Write(
      batch.puts.empty() ? Purpose::kFree : Purpose::kAdd,
      [&](const RocksDatabase::Access& access) { return impl_->Apply(access, batch); });
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
  CAIRN_TRY(blocks.AddPending(access, writes));
  CAIRN_TRY(Commit(access, writes, action));
  blocks.NotePut();
  return Ok();
}

Status RocksColdStore::Impl::Commit(const RocksDatabase::Access& access,
                                    rocksdb::WriteBatch& writes, std::string_view action) {
  rocksdb::WriteOptions write;
  write.sync = true;
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
  stats.disk_bytes = impl_->database->directory().Bytes();
  stats.payload_bytes = impl_->blocks.payload_bytes();
  if (const auto access = impl_->database->Read()) {
    stats.identity = IdentityOf(access.value());
    const auto files = impl_->Files(access.value());
    if (files) stats.data_files = files.value().size();
  }
  return stats;
}

Result<std::vector<StoreFile>> RocksColdStore::Impl::Files(const RocksDatabase::Access& access) {
  CAIRN_TRY(std::vector<StoreFile> files, blocks.Files());
  std::vector<rocksdb::LiveFileMetaData> live;
  access.db->GetLiveFilesMetaData(&live);
  for (const rocksdb::LiveFileMetaData& file : live) {
    files.push_back({.name = "db" + file.name, .level = file.level, .bytes = file.size});
  }
  std::ranges::sort(files, {}, &StoreFile::name);
  return files;
}

Result<std::vector<StoreFile>> RocksColdStore::Files() {
  CAIRN_TRY(const RocksDatabase::Access access, impl_->database->Read());
  CAIRN_TRY(std::vector<StoreFile> files, impl_->Files(access));
  // RocksDB does not count entries when it opens files: it is asked to open quickly.
  rocksdb::TablePropertiesCollection tables;
  CAIRN_TRY(FromRocks(access.db->GetPropertiesOfAllTables(access.meta, &tables),
                      impl_->Action("count the entries of")));
  std::map<std::string, uint64_t> entries;  // by name
  for (const auto& [path, properties] : tables) {
    entries["db" + path.substr(path.find_last_of('/'))] = properties->num_entries;
  }
  for (StoreFile& file : files) {
    if (!file.payload) file.entries = entries[file.name];
  }
  return files;
}

void RocksColdStore::RemoveIfNew(bool remove) { impl_->database->RemoveIfNew(remove); }

Status RocksColdStore::Compact(CompactionWatch watch, CompactionReport& report) {
  const std::lock_guard lock(impl_->write_mutex);
  RocksDatabase& database = *impl_->database;
  const auto commit = [&](const RocksDatabase::Access& access, rocksdb::WriteBatch& writes) {
    return impl_->Commit(access, writes, impl_->Action("compact"));
  };
  if (impl_->blocks.pending()) {
    return Fail(Errc::kBusy, "the store {} has blocks that were not committed; commit them first",
                database.directory().name());
  }
  CAIRN_TRY(RocksCompaction(database, impl_->blocks, impl_->options).Run(commit, watch, report));
  return database.Write(Purpose::kAdd, [&](const RocksDatabase::Access& access) {
    return database.AfterWrite(
        access.db->CompactRange(rocksdb::CompactRangeOptions(), access.meta, nullptr, nullptr),
        impl_->Action("compact the metadata of"));
  });
}

}  // namespace cairn
