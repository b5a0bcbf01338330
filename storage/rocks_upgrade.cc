#include "storage/rocks_upgrade.h"

#include <rocksdb/write_batch.h>

#include <memory>
#include <utility>
#include <vector>

#include "base/byte_size.h"
#include "storage/block_format.h"
#include "storage/catalog_format.h"
#include "storage/rocks_blocks.h"
#include "storage/rocks_database.h"
#include "storage/rocks_options.h"
#include "storage/store_directory.h"

namespace cairn {
namespace {

constexpr uint64_t kBatchBytes = 64 * kMiB;

class Upgrade {
 public:
  Upgrade(RocksDatabase& database, RocksBlocks& blocks) : database_(database), blocks_(blocks) {}

  Result<uint32_t> ReadFormat() const;
  /// Removes what an upgrade that did not come to its end has left.
  Status Clear();
  Status Copy(UpgradeWatch watch, UpgradeReport& report);
  Status Switch();

 private:
  using Write = FunctionRef<Status(const RocksDatabase::Access&, rocksdb::WriteBatch&)>;
  Status Commit(Write add);
  Status Take(std::string_view key, std::string value);
  Status AppendTaken(UpgradeReport& report);
  std::string action() const { return "cannot upgrade the store " + database_.directory().name(); }

  RocksDatabase& database_;
  RocksBlocks& blocks_;
  std::vector<std::pair<BlockId, std::string>> taken_;  // records, in their order
  uint64_t taken_bytes_ = 0;
};

Result<uint32_t> Upgrade::ReadFormat() const {
  CAIRN_TRY(const RocksDatabase::Access access, database_.Read());
  std::string value;
  CAIRN_TRY(FromRocks(
      access.db->Get(rocksdb::ReadOptions(), access.meta, rocksdb::Slice(kFormatKey), &value),
      action()));
  CAIRN_TRY(const std::string body, OpenValue(kFormatKey, std::move(value)));
  return DecodeFormat(body);
}

Status Upgrade::Commit(Write add) {
  return database_.Write(RocksDatabase::Purpose::kAdd,
                         [&](const RocksDatabase::Access& access) -> Status {
                           rocksdb::WriteBatch batch;
                           CAIRN_TRY(add(access, batch));
                           rocksdb::WriteOptions write;
                           write.sync = true;
                           return database_.AfterWrite(access.db->Write(write, &batch), action());
                         });
}

Status Upgrade::Clear() {
  CAIRN_TRY(Commit([&](const RocksDatabase::Access& access, rocksdb::WriteBatch& batch) -> Status {
    for (const std::string_view prefix : {kRunPrefix, kChecksumsPrefix}) {
      std::string end(prefix);
      ++end.back();
      CAIRN_TRY(FromRocks(batch.DeleteRange(access.meta, rocksdb::Slice(prefix), end), action()));
    }
    return Ok();
  }));
  CAIRN_TRY(blocks_.segments().Make());
  blocks_.Clear();
  return blocks_.FreeAll();
}

Status Upgrade::Take(std::string_view key, std::string value) {
  CAIRN_TRY(const BlockId id, DecodeBlockKey(key));
  CAIRN_TRY(VerifyRecord(id, std::as_bytes(std::span(value))));
  taken_bytes_ += value.size();
  taken_.emplace_back(id, std::move(value));
  return Ok();
}

Status Upgrade::AppendTaken(UpgradeReport& report) {
  if (taken_.empty()) return Ok();
  std::vector<BlockRecord> records;
  for (const auto& [id, record] : taken_) {
    const auto bytes = std::as_bytes(std::span(record));
    records.push_back({id, bytes.first(bytes.size() - kTrailerBytes)});
    report.payload_bytes += records.back().payload.size();
  }
  report.blocks += records.size();
  CAIRN_TRY(blocks_.Append(records));
  CAIRN_TRY(Commit([&](const RocksDatabase::Access& access, rocksdb::WriteBatch& batch) {
    return blocks_.AddPending(access, batch);
  }));
  blocks_.NotePut();
  taken_.clear();
  taken_bytes_ = 0;
  return Ok();
}

Status Upgrade::Copy(UpgradeWatch watch, UpgradeReport& report) {
  CAIRN_TRY(const RocksDatabase::Access access, database_.Read());
  if (access.old_payload == nullptr) return Ok();
  rocksdb::ReadOptions read;
  read.readahead_size = kMiB;
  const std::unique_ptr<rocksdb::Iterator> it(access.db->NewIterator(read, access.old_payload));
  for (it->SeekToFirst(); it->Valid(); it->Next()) {
    const Status taken = Take(it->key().ToStringView(), it->value().ToString());
    if (!taken) {
      return Fail(taken.error().code,
                  "{}, which stays as it is: {}. A cairn of its format can repair it first",
                  action(), taken.error().message);
    }
    if (taken_bytes_ < kBatchBytes) continue;
    CAIRN_TRY(AppendTaken(report));
    CAIRN_TRY(watch(report.payload_bytes));
  }
  CAIRN_TRY(FromRocks(it->status(), action() + ", which stays as it is"));
  return AppendTaken(report);
}

Status Upgrade::Switch() {
  return Commit([&](const RocksDatabase::Access& access, rocksdb::WriteBatch& batch) {
    const std::string value = SealValue(kFormatKey, EncodeFormat(kStoreFormatVersion));
    return FromRocks(batch.Put(access.meta, rocksdb::Slice(kFormatKey), value), action());
  });
}

}  // namespace

Result<UpgradeReport> UpgradeStore(const std::string& path, UpgradeWatch watch, rocksdb::Env* env) {
  CAIRN_TRY(StoreDirectory directory, StoreDirectory::Open(path, StoreDirectory::Use::kWrite));
  RocksSetup setup;
  setup.direct_io = directory.SupportsDirectIo();
  if (env != nullptr) setup.env = env;
  CAIRN_TRY(const auto database, RocksDatabase::Open(std::move(directory), setup));
  RocksBlocks blocks(database->directory().blocks_path(), {.env = env}, setup.direct_io);
  Upgrade upgrade(*database, blocks);
  UpgradeReport report;
  CAIRN_TRY(report.format_before, upgrade.ReadFormat());
  if (report.format_before == kStoreFormatVersion) return report;
  if (report.format_before > kStoreFormatVersion || report.format_before == 0) {
    return CheckFormatVersion(report.format_before, path).error();
  }
  CAIRN_TRY(upgrade.Clear());
  const Status copied = upgrade.Copy(watch, report);
  if (!copied) {
    (void)upgrade.Clear().has_value();  // the next one does it if this cannot
    return copied.error();
  }
  CAIRN_TRY(upgrade.Switch());
  CAIRN_TRY(database->DropOldPayload());
  database->directory().RemoveIncoming();
  return report;
}

}  // namespace cairn
