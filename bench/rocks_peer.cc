#include "bench/rocks_peer.h"

#include <rocksdb/db.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/byte_size.h"
#include "bench/ladder_store.h"

namespace cairn {
namespace {

constexpr uint64_t kPieceBytes = 8 * kMiB;
constexpr uint64_t kCachedBytes = 32 * kMiB;  // of blocks read while in the page cache

std::string KeyOf(uint32_t block) { return fmt::format("{:016}", block); }

Error FromRocks(const rocksdb::Status& status) {
  return Fail(Errc::kIo, "the plain RocksDB beside the store: {}", status.ToString());
}

}  // namespace

struct RocksPeer::Database {
  Status Open() {
    rocksdb::Options options;  // the defaults
    options.create_if_missing = true;
    rocksdb::DB* opened = nullptr;
    const auto status = rocksdb::DB::Open(options, directory, &opened);
    if (!status.ok()) return FromRocks(status);
    db.reset(opened);
    return Ok();
  }
  /// Opens it again without what its own cache and the page cache have.
  Status Forget() {
    db.reset();
    ForgetCachedPages(directory);
    return Open();
  }

  std::string directory;
  std::unique_ptr<rocksdb::DB> db;
};

class RocksPeer::Reads final : public LadderCase {
 public:
  Reads(LadderKey key, bool cold, Database& database, uint32_t blocks)
      : LadderCase(key, key.batch * key.block_bytes, cold),
        database_(database),
        walk_(Order(key, cold, blocks), key.readers) {}

  Status Prepare() override {
    if (cold()) {
      CAIRN_TRY(database_.Forget());
    } else {
      for (int turn = 0; turn < 2; ++turn) {
        for (size_t at = 0; at < walk_.order().size(); at += key().batch) CAIRN_TRY(Run(0, 1));
      }
    }
    walk_.Restart();
    return Ok();
  }

  Status Run(int reader, uint64_t count) override {
    for (; count > 0; --count) {
      std::vector<std::string> names;
      for (const uint32_t block : walk_.Next(reader, key().batch)) names.push_back(KeyOf(block));
      const std::vector<rocksdb::Slice> keys(names.begin(), names.end());
      std::vector<rocksdb::PinnableSlice> values(keys.size());
      std::vector<rocksdb::Status> statuses(keys.size());
      database_.db->MultiGet(rocksdb::ReadOptions(), database_.db->DefaultColumnFamily(),
                             keys.size(), keys.data(), values.data(), statuses.data());
      for (size_t i = 0; i < keys.size(); ++i) {
        if (!statuses[i].ok()) return FromRocks(statuses[i]);
        if (values[i].size() != key().block_bytes) {
          return Fail(Errc::kCorruption, "the plain RocksDB gave a value of another size");
        }
      }
    }
    return Ok();
  }

  bool UsedUp() const override { return cold() && walk_.repeats(); }

 private:
  static std::vector<uint32_t> Order(const LadderKey& key, bool cold, uint32_t blocks) {
    if (!cold) {
      const auto few = static_cast<uint32_t>(kCachedBytes / key.block_bytes);
      const auto in_flight = key.batch * static_cast<uint32_t>(key.readers);
      blocks = std::min(blocks, std::max(few, 2 * in_flight));
    }
    return ShuffledOrder(blocks, 8);
  }

  Database& database_;
  Walk<uint32_t> walk_;
};

RocksPeer::RocksPeer(std::unique_ptr<Database> database, uint32_t blocks)
    : database_(std::move(database)), blocks_(blocks) {}

RocksPeer::~RocksPeer() = default;

Result<std::unique_ptr<RocksPeer>> RocksPeer::Make(const std::string& directory,
                                                   uint64_t block_bytes, uint64_t total_bytes,
                                                   FunctionRef<bool()> stop) {
  auto database = std::make_unique<Database>();
  database->directory = directory;
  CAIRN_TRY(database->Open());
  rocksdb::WriteOptions writing;
  writing.disableWAL = true;  // it is thrown away; reads do not see the log
  const auto blocks = static_cast<uint32_t>(std::max<uint64_t>(total_bytes / block_bytes, 1));
  const auto per_piece = static_cast<uint32_t>(std::max<uint64_t>(kPieceBytes / block_bytes, 1));
  for (uint32_t first = 0; first < blocks; first += per_piece) {
    if (stop()) {
      return Fail(Errc::kInterrupted, "stopped; what the ladder had made is removed");
    }
    const uint32_t count = std::min(per_piece, blocks - first);
    const RandomBytes bytes(count * block_bytes, first + 1);
    for (uint32_t i = 0; i < count; ++i) {
      const auto* data = reinterpret_cast<const char*>(bytes.all().data()) + i * block_bytes;
      const auto status = database->db->Put(writing, KeyOf(first + i), {data, block_bytes});
      if (!status.ok()) return FromRocks(status);
    }
  }
  if (const auto status = database->db->Flush({}); !status.ok()) return FromRocks(status);
  return std::unique_ptr<RocksPeer>(new RocksPeer(std::move(database), blocks));
}

std::unique_ptr<LadderCase> RocksPeer::MakeCase(LadderKey key, bool cold) {
  return std::make_unique<Reads>(std::move(key), cold, *database_, blocks_);
}

}  // namespace cairn
