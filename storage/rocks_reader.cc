#include "storage/rocks_reader.h"

#include <rocksdb/db.h>

#include <cstring>
#include <mutex>
#include <numeric>
#include <utility>

#include "storage/block_format.h"
#include "storage/cold_store.h"

namespace cairn {
namespace {

Status AskRocks(const RocksDatabase::Access& access, const BlockId& id, size_t record_bytes,
                std::byte* target) {
  const BlockKey key = EncodeBlockKey(id);
  rocksdb::PinnableSlice value;
  const rocksdb::Status status = access.db->Get(rocksdb::ReadOptions(), access.payload,
                                                rocksdb::Slice(key.data(), key.size()), &value);
  if (status.IsNotFound()) return BlockAbsent(id);
  if (!status.ok()) return RocksError(status, "cannot read " + ToString(id));
  if (value.size() != record_bytes) return BlockOfOtherSize(id, value.size(), record_bytes);
  std::memcpy(target, value.data(), record_bytes);
  return VerifyRecord(id, {target, record_bytes});
}

/// Copies the record behind its key to `target` if it is the block's and whole.
bool TakeRecord(const BlockId& id, std::span<const std::byte> place, std::span<std::byte> target) {
  const BlockKey key = EncodeBlockKey(id);
  constexpr size_t kRecordOffset = kBlockKeyBytes + RocksBlockFiles::kKeyGapBytes;
  if (place.size() != kRecordOffset + target.size()) return false;
  if (std::memcmp(place.data(), key.data(), key.size()) != 0) return false;
  std::memcpy(target.data(), place.data() + kRecordOffset, target.size());
  return VerifyRecord(id, target).has_value();
}

}  // namespace

RocksReader::RocksReader(const StoreDirectory& directory, BlockReads reads, bool direct_io,
                         int threads)
    : workers_(threads - 1) {
  if (reads == BlockReads::kRocks) return;
  batches_.emplace(
      reads == BlockReads::kAuto ? BatchReader::Method::kRing : BatchReader::Method::kThreads,
      workers_);
  files_.emplace(directory.db_path(), direct_io, workers_);
}

void RocksReader::NoteAdded() {
  if (files_) files_->NoteChange();
}
void RocksReader::NoteDropped(uint64_t extent) {
  if (files_) files_->Forget(extent);
}
void RocksReader::NoteReplaced() {
  if (files_) files_->ForgetAll();
}

std::vector<size_t> RocksReader::ReadPast(const RocksDatabase::Access& access,
                                          std::span<const BlockId> ids, size_t record_bytes,
                                          std::span<std::byte* const> targets) {
  const RocksBlockFiles::Places found = files_->Find(access, ids, record_bytes);
  std::vector<FilePlace> places;
  std::vector<size_t> index_of;  // in `ids`, of each place
  std::vector<size_t> left;
  for (size_t i = 0; i < ids.size(); ++i) {
    if (found.all()[i].fd < 0) {
      left.push_back(i);
    } else {
      places.push_back(found.all()[i]);
      index_of.push_back(i);
    }
  }
  std::mutex mutex;
  batches_->Read(places, [&](size_t at, std::span<const std::byte> bytes) {
    const size_t i = index_of[at];
    if (TakeRecord(ids[i], bytes, {targets[i], record_bytes})) return;
    files_->Doubt(ids[i]);
    const std::lock_guard lock(mutex);
    left.push_back(i);
  });
  return left;
}

Status RocksReader::Read(const RocksDatabase::Access& access, std::span<const BlockId> ids,
                         size_t record_bytes, std::span<std::byte* const> targets) {
  std::vector<size_t> left;
  if (files_) {
    left = ReadPast(access, ids, record_bytes, targets);
  } else {
    left.resize(ids.size());
    std::iota(left.begin(), left.end(), size_t{0});
  }
  asked_records_ += left.size();
  std::mutex mutex;
  size_t first_bad = ids.size();
  Status result = Ok();
  workers_.Run(left.size(), [&](size_t at) {
    const size_t i = left[at];
    Status status = AskRocks(access, ids[i], record_bytes, targets[i]);
    if (status) return;
    const std::lock_guard lock(mutex);
    if (i >= first_bad) return;
    first_bad = i;
    result = std::move(status);
  });
  return result;
}

}  // namespace cairn
