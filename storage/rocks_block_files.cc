#include "storage/rocks_block_files.h"

#include <fcntl.h>
#include <rocksdb/db.h>
#include <rocksdb/table_properties.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <utility>

#include "storage/block_format.h"

namespace cairn {
namespace {

// A data block of one entry: three lengths (of what the key shares with the one before, of the rest
// of the key, of the value), the key with RocksDB's 8 bytes behind it, the value, one restart
// point, their number; then the checksum.
constexpr size_t kTableKeyBytes = kBlockKeyBytes + RocksBlockFiles::kKeyGapBytes;
constexpr size_t kBehindRecordBytes = 4 + 4 + 5;

size_t VarintBytes(size_t value) {
  size_t bytes = 1;
  for (; value >= 128; value >>= 7) ++bytes;
  return bytes;
}

size_t KeyOffset(size_t record_bytes) { return 2 + VarintBytes(record_bytes); }

// What stands behind the records: of each its place, of all filter and properties.
constexpr uint64_t kIndexBytesPerRecord = 64;
constexpr uint64_t kTableEndBytes = 16 << 10;

size_t TableBlockBytes(size_t record_bytes) {
  return KeyOffset(record_bytes) + kTableKeyBytes + record_bytes + kBehindRecordBytes;
}

/// Whether nothing of the payloads is deleted and still there: no tombstone waits in memory, and
/// the records of no file came later than others, as a tombstone would.
bool NothingDeleted(const RocksDatabase::Access& access,
                    std::span<const rocksdb::LiveFileMetaData> files) {
  for (const std::string& property : {rocksdb::DB::Properties::kNumEntriesActiveMemTable,
                                      rocksdb::DB::Properties::kNumEntriesImmMemTables}) {
    uint64_t entries = 0;
    if (!access.db->GetIntProperty(access.payload, property, &entries) || entries > 0) return false;
  }
  return std::ranges::all_of(files, [](const rocksdb::LiveFileMetaData& file) {
    return file.column_family_name != kPayloadFamily || file.largest_seqno == 0;
  });
}

/// RocksDB may open as many as it likes; a quarter of what the process may is for these.
size_t MaxOpen() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return 128;
  return std::min<rlim_t>(limit.rlim_cur / 4, 65536);
}

}  // namespace

struct RocksBlockFiles::File {
  ~File() {
    if (fd >= 0) close(fd);
  }

  enum class State : uint8_t { kUnknown, kUsable, kUnusable };
  std::string path;
  BlockId first, last;
  Grid grid;
  uint64_t serial = 0;  // of this entry: a path may come back
  uint64_t bytes = 0;
  bool plain = false;  // no record of it can have been deleted
  State state = State::kUnknown;
  int fd = -1;
  uint64_t block_bytes = 0;
  int users = 0;

  /// How many records of a grid lie before `id`.
  uint64_t Index(const BlockId& id) const {
    const auto row = [this](const BlockId& at) {
      return (uint64_t{at.ordinal} * grid.layers + at.layer) * grid.heads + at.head;
    };
    return row(id) - row(first);
  }
  uint64_t records() const { return Index(last) + 1; }
  /// As this, and nothing known yet.
  std::unique_ptr<File> Fresh() const {
    auto file = std::make_unique<File>();
    file->path = path;
    file->first = first;
    file->last = last;
    file->grid = grid;
    file->serial = serial;
    file->bytes = bytes;
    file->plain = plain;
    return file;
  }
  bool Holds(const BlockId& id) const {
    return first <= id && id <= last && id.layer < grid.layers && id.head < grid.heads;
  }
};

RocksBlockFiles::Places::~Places() {
  if (owner_ != nullptr) owner_->Release(files_);
}

RocksBlockFiles::Places::Places(Places&& other) noexcept
    : owner_(std::exchange(other.owner_, nullptr)),
      places_(std::move(other.places_)),
      files_(std::move(other.files_)) {}

RocksBlockFiles::RocksBlockFiles(std::string db_path, bool direct_io, WorkerPool& workers)
    : db_path_(std::move(db_path)),
      direct_io_(direct_io),
      max_open_(MaxOpen()),
      workers_(workers) {}

RocksBlockFiles::~RocksBlockFiles() = default;

void RocksBlockFiles::NoteChange() {
  const std::lock_guard lock(mutex_);
  changed_ = true;
}

void RocksBlockFiles::Forget(uint64_t extent) {
  const std::lock_guard lock(mutex_);
  changed_ = true;
  for (auto at = files_.lower_bound({.extent = extent});
       at != files_.end() && at->first.extent == extent;) {
    Retire(at++);
  }
}

void RocksBlockFiles::ForgetAll() {
  const std::lock_guard lock(mutex_);
  changed_ = true;
  while (!files_.empty()) Retire(files_.begin());
}

void RocksBlockFiles::Retire(Files::iterator at) {
  if (at->second->users > 0) retired_.push_back(std::move(at->second));
  files_.erase(at);
}

void RocksBlockFiles::Release(std::span<File* const> files) {
  const std::lock_guard lock(mutex_);
  for (File* file : files) --file->users;
  std::erase_if(retired_, [](const auto& file) { return file->users == 0; });
}

/// Takes over what files there are; those that are known stay as they are.
void RocksBlockFiles::Refresh(const RocksDatabase::Access& access) {
  changed_ = false;
  std::vector<rocksdb::LiveFileMetaData> live;
  access.db->GetLiveFilesMetaData(&live);
  const bool plain = NothingDeleted(access, live);
  Files found;
  std::map<uint64_t, Grid> grids;  // of extents: the last file of a commit ends at a grid's end
  for (const rocksdb::LiveFileMetaData& meta : live) {
    if (meta.column_family_name != kPayloadFamily || meta.smallestkey.empty()) continue;
    auto file = std::make_unique<File>();
    const Result<BlockId> first = DecodeBlockKey(meta.smallestkey);
    const Result<BlockId> last = DecodeBlockKey(meta.largestkey);
    if (!first || !last || first.value().extent != last.value().extent) continue;
    file->path = db_path_ + meta.name;
    file->first = first.value();
    file->last = last.value();
    file->serial = next_serial_++;
    file->bytes = meta.size;
    file->plain = plain;
    Grid& grid = grids[file->first.extent];
    for (const BlockId& end : {file->first, file->last}) {
      grid.layers = std::max(grid.layers, end.layer + 1u);
      grid.heads = std::max(grid.heads, end.head + 1u);
    }
    found.insert_or_assign(file->first, std::move(file));
  }
  for (auto& [first, file] : found) {
    file->grid = grids[first.extent];
    const auto known = files_.find(first);
    if (known == files_.end() || known->second->path != file->path) continue;
    if (known->second->grid == file->grid) std::swap(known->second, file);
  }
  while (!files_.empty()) Retire(files_.begin());
  files_ = std::move(found);
}

RocksBlockFiles::File* RocksBlockFiles::FileOf(const BlockId& id) const {
  auto at = files_.upper_bound(id);
  if (at == files_.begin()) return nullptr;
  --at;
  return at->second->Holds(id) ? at->second.get() : nullptr;
}

RocksBlockFiles::Places RocksBlockFiles::Find(const RocksDatabase::Access& access,
                                              std::span<const BlockId> ids, size_t record_bytes) {
  Places found(*this);
  found.places_.resize(ids.size());
  const auto place_bytes = static_cast<uint32_t>(kTableKeyBytes + record_bytes);
  if (place_bytes > BatchReader::kMaxPlaceBytes) return found;
  std::unique_lock lock(mutex_);
  const auto known = [this](const BlockId& id) { return FileOf(id) != nullptr; };
  if (changed_ && !std::ranges::all_of(ids, known)) Refresh(access);
  std::map<std::string, std::unique_ptr<File>> fresh;
  for (const BlockId& id : ids) {
    const File* file = FileOf(id);
    if (file == nullptr || file->state != File::State::kUnknown) continue;
    fresh.emplace(file->path, file->Fresh());
  }
  if (!fresh.empty()) {
    lock.unlock();
    std::vector<std::unique_ptr<File>> files;
    for (auto& [path, file] : fresh) files.push_back(std::move(file));
    Examine(access, record_bytes, files);
    lock.lock();
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    File* file = FileOf(ids[i]);
    if (file == nullptr || file->state != File::State::kUsable) continue;
    if (file->block_bytes != TableBlockBytes(record_bytes)) continue;
    ++file->users;
    found.files_.push_back(file);
    found.places_[i] = {file->fd, file->Index(ids[i]) * file->block_bytes + KeyOffset(record_bytes),
                        place_bytes};
  }
  return found;
}

void RocksBlockFiles::Doubt(const BlockId& id) {
  const std::lock_guard lock(mutex_);
  auto at = files_.upper_bound(id);
  if (at == files_.begin()) return;
  --at;
  if (!at->second->Holds(id) || !at->second->plain) return;
  std::unique_ptr<File> fresh = at->second->Fresh();
  fresh->plain = false;
  std::swap(at->second, fresh);
  if (fresh->users > 0) retired_.push_back(std::move(fresh));
}

void RocksBlockFiles::Examine(const RocksDatabase::Access& access, size_t record_bytes,
                              std::vector<std::unique_ptr<File>>& fresh) {
  workers_.Run(fresh.size(), [&](size_t i) {
    const bool usable = ExamineOne(access, record_bytes, *fresh[i]).has_value();
    fresh[i]->state = usable ? File::State::kUsable : File::State::kUnusable;
  });
  const std::lock_guard lock(mutex_);
  size_t open_files = static_cast<size_t>(
      std::ranges::count_if(files_, [](const auto& entry) { return entry.second->fd >= 0; }));
  for (std::unique_ptr<File>& file : fresh) {
    const auto at = files_.find(file->first);
    // Not what it was when this began, or examined by another batch in the meantime.
    if (at == files_.end() || at->second->serial != file->serial ||
        at->second->state != File::State::kUnknown) {
      continue;
    }
    if (file->state == File::State::kUsable && open_files++ >= max_open_) {
      file->state = File::State::kUnusable;
    }
    std::swap(at->second, file);
  }
}

/// Success if each record lies where the grid says, as far as it can be told, and none is deleted.
Status RocksBlockFiles::ExamineOne(const RocksDatabase::Access& access, size_t record_bytes,
                                   File& file) const {
  const uint64_t records = file.records(), data_bytes = records * TableBlockBytes(record_bytes);
  file.plain = file.plain && file.bytes >= data_bytes &&
               file.bytes - data_bytes <= records * kIndexBytesPerRecord + kTableEndBytes;
  if (file.plain) {
    file.block_bytes = TableBlockBytes(record_bytes);
  } else {
    CAIRN_TRY(LookInto(access, file));
  }
  file.fd = open(file.path.c_str(), O_RDONLY | O_CLOEXEC | (direct_io_ ? O_DIRECT : 0));
  if (file.fd < 0) return SystemError("open", file.path);
  return Ok();
}

/// Success if each record lies where the grid says, and none is deleted, as RocksDB has it.
Status RocksBlockFiles::LookInto(const RocksDatabase::Access& access, File& file) const {
  const Error differs = Fail(Errc::kUnsupported, "{} has another form", file.path);
  const BlockKey first = EncodeBlockKey(file.first), last = EncodeBlockKey(file.last);
  const rocksdb::Slice first_key(first.data(), first.size()), last_key(last.data(), last.size());
  const rocksdb::Range range(first_key, last_key);
  rocksdb::TablePropertiesCollection all;
  CAIRN_TRY(FromRocks(access.db->GetPropertiesOfTablesInRange(access.payload, &range, 1, &all),
                      file.path));
  const auto own = std::ranges::find_if(
      all, [&](const auto& entry) { return entry.first.ends_with(file.path); });
  if (own == all.end()) return differs;
  const rocksdb::TableProperties& table = *own->second;
  const uint64_t records = table.num_entries;
  if (records == 0 || records != file.records() || table.num_data_blocks != records ||
      table.num_deletions != 0 || table.num_range_deletions != 0 ||
      table.raw_key_size != records * kTableKeyBytes || table.raw_value_size % records != 0) {
    return differs;
  }
  file.block_bytes = TableBlockBytes(table.raw_value_size / records);
  if (table.data_size != records * file.block_bytes) return differs;
  // Records of an extent are deleted from one of them to its end. So none is if the last is there.
  rocksdb::PinnableSlice value;
  CAIRN_TRY(FromRocks(access.db->Get(rocksdb::ReadOptions(), access.payload, last_key, &value),
                      file.path));
  return Ok();
}

}  // namespace cairn
