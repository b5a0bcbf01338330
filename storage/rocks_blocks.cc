#include "storage/rocks_blocks.h"

#include <algorithm>
#include <cstring>
#include <set>
#include <utility>

#include "storage/block_format.h"
#include "storage/catalog_format.h"

namespace cairn {
namespace {

rocksdb::Env* EnvOf(const RocksColdStoreOptions& options) {
  return options.env != nullptr ? options.env : rocksdb::Env::Default();
}

Status GetValue(const RocksDatabase::Access& access, const std::string& key, std::string& value) {
  const rocksdb::Status status = access.db->Get(rocksdb::ReadOptions(), access.meta, key, &value);
  return FromRocks(status, "cannot read the catalog entry " + DescribeKey(key));
}

}  // namespace

RocksBlocks::RocksBlocks(const std::string& directory, const RocksColdStoreOptions& options,
                         bool direct_io)
    : env_(EnvOf(options)),
      readers_(options.read_threads - 1),
      writers_(options.write_threads - 1),
      segments_(directory, env_, options.env != nullptr, direct_io),
      writer_(segments_, env_, direct_io, options.segment_bytes, writers_) {
  if (options.env != nullptr) return;
  batches_.emplace(options.block_reads == BlockReads::kAuto ? BatchReader::Method::kRing
                                                            : BatchReader::Method::kThreads,
                   readers_);
}

// ---- Opening

Status RocksBlocks::Load(const RocksDatabase::Access& access, bool sound) {
  rocksdb::ReadOptions read;
  read.readahead_size = 512 << 10;
  const std::unique_ptr<rocksdb::Iterator> it(access.db->NewIterator(read, access.meta));
  const std::lock_guard lock(mutex_);
  for (it->Seek(rocksdb::Slice(kRunPrefix));
       it->Valid() && it->key().starts_with(rocksdb::Slice(kRunPrefix)); it->Next()) {
    const std::string key = it->key().ToString();
    RunMap::Entry entry{.stored = true};
    Result<BlockRun> run = DecodeRun(key, it->value().ToString());
    if (run) {
      entry.run = run.value();
    } else {
      CAIRN_TRY(entry.run.first, FirstInRunKey(key));
      entry.known = false;
      entry.damage = run.error().message;
    }
    runs_.Add(std::move(entry));
  }
  CAIRN_TRY(FromRocks(it->status(), "cannot read which blocks the store has"));
  sound_ = sound && runs_.complete();
  return Ok();
}

Status RocksBlocks::OpenAll() {
  constexpr size_t kMany = 64;
  const RocksSegmentWriter::InUse in_use = InUse();
  if (in_use.size() > kMany) return Ok();
  for (const auto& [number, unused] : in_use) {
    CAIRN_TRY(RocksSegments::File* const file, segments_.Open(number));
    segments_.Release(file);
  }
  return Ok();
}

// ---- Writing

RocksSegmentWriter::InUse RocksBlocks::InUse() {
  const std::lock_guard lock(mutex_);
  return runs_.InUse();
}

Status RocksBlocks::Free(uint64_t number, bool and_later) {
  if (!sound_) return Ok();
  const RocksSegmentWriter::InUse in_use = InUse();
  CAIRN_TRY(const std::vector<SegmentInfo> files, segments_.List());
  for (const SegmentInfo& file : files) {
    if (and_later ? file.number < number : file.number != number) continue;
    const auto used = in_use.find(file.number);
    CAIRN_TRY(segments_.Free(file.number,
                             used == in_use.end() ? std::vector<ByteRange>() : used->second));
  }
  return Ok();
}

void RocksBlocks::Clear() {
  writer_.StartNewFile();
  const std::lock_guard lock(mutex_);
  runs_ = RunMap();
  pending_.clear();
}

Status RocksBlocks::Append(std::span<const BlockRecord> records) {
  {
    const std::lock_guard lock(mutex_);
    uint64_t extent = 0;
    for (const BlockRecord& record : records) {
      if (record.payload.empty()) {
        return Fail(Errc::kInvalidArgument, "{} has no bytes", ToString(record.id));
      }
      const auto last = record.id.extent == extent ? std::nullopt : runs_.LastOf(record.id.extent);
      if (last && record.id <= *last) return WrittenBefore(record.id);
      extent = record.id.extent;
    }
  }
  const RocksSegmentWriter::InUse in_use = InUse();
  Result<std::vector<RunMap::Entry>> appended = writer_.Append(records, in_use);
  if (!appended) {
    // What stays of it is nobody's, and goes when a writer opens the store if it cannot go now.
    (void)Free(in_use.empty() ? 0 : in_use.rbegin()->first, true).has_value();
    return appended.error();
  }
  const std::lock_guard lock(mutex_);
  for (RunMap::Entry& entry : appended.value()) {
    pending_.push_back(entry.run.first);
    runs_.Add(std::move(entry));
  }
  return Ok();
}

Status RocksBlocks::AddPending(const RocksDatabase::Access& access, rocksdb::WriteBatch& batch) {
  const std::lock_guard lock(mutex_);
  for (const BlockId& first : pending_) {
    RunMap::Entry* const entry = runs_.FindFirst(first);
    entry->stored = true;
    const std::string checksums = EncodeChecksums(first, entry->checksums);
    CAIRN_TRY(FromRocks(batch.Put(access.meta, RunKey(first), EncodeRun(entry->run)), "runs"));
    CAIRN_TRY(FromRocks(batch.Put(access.meta, ChecksumsKey(first), checksums), "runs"));
  }
  return Ok();
}

RunMap::Cut RocksBlocks::PlanDrop(uint64_t extent, uint32_t from) {
  const std::lock_guard lock(mutex_);
  return runs_.PlanCut(extent, from);
}

Status RocksBlocks::AddDrop(const RocksDatabase::Access& access, const RunMap::Cut& cut,
                            rocksdb::WriteBatch& batch) {
  const std::lock_guard lock(mutex_);
  for (const BlockId& first : cut.gone) {
    if (!runs_.FindFirst(first)->stored) continue;
    CAIRN_TRY(FromRocks(batch.Delete(access.meta, RunKey(first)), "runs"));
    CAIRN_TRY(FromRocks(batch.Delete(access.meta, ChecksumsKey(first)), "runs"));
  }
  if (cut.shortened && runs_.FindFirst(cut.shortened->first)->stored) {
    const BlockRun& run = *cut.shortened;
    CAIRN_TRY(FromRocks(batch.Put(access.meta, RunKey(run.first), EncodeRun(run)), "runs"));
  }
  return Ok();
}

Status RocksBlocks::FinishDrop(const RunMap::Cut& cut) {
  std::set<uint64_t> touched;
  {
    const std::lock_guard lock(mutex_);
    for (const BlockId& first : cut.gone) {
      const RunMap::Entry* const entry = runs_.FindFirst(first);
      if (entry->known) touched.insert(entry->run.segment);
    }
    if (cut.shortened) touched.insert(cut.shortened->segment);
    runs_.Apply(cut);
    std::erase_if(pending_, [&](const BlockId& first) { return !runs_.FindFirst(first); });
  }
  writer_.Close();
  for (const uint64_t segment : touched) CAIRN_TRY(Free(segment, false));
  return Ok();
}

// ---- Reading

/// Gives back the files of places.
struct RocksBlocks::Opened {
  Opened(RocksSegments& segments_in, std::span<const Place> places_in)
      : segments(segments_in), places(places_in) {}
  ~Opened() {
    for (const Place& place : places) {
      if (place.file != nullptr) segments.Release(place.file);
    }
  }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
  RocksSegments& segments;
  std::span<const Place> places;
};

Status RocksBlocks::LookUp(std::span<const BlockId> ids, size_t payload_bytes,
                           std::span<Place> places, std::vector<BlockId>& unloaded,
                           std::vector<uint64_t>& segments) {
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < ids.size(); ++i) {
    const RunMap::Entry* const entry = runs_.Find(ids[i]);
    if (entry == nullptr) return BlockAbsent(ids[i]);
    if (!entry->damage.empty()) return BlockDamaged(ids[i], entry->damage);
    const BlockRun& run = entry->run;
    if (run.payload_bytes != payload_bytes) {
      return BlockOfOtherSize(ids[i], run.payload_bytes, payload_bytes);
    }
    if (entry->checksums.empty()) {
      unloaded.push_back(run.first);
      continue;
    }
    const uint32_t index = *run.IndexOf(ids[i]);
    segments[i] = run.segment;
    places[i].checksum = entry->checksums[index];
    places[i].at.offset = run.offset + uint64_t{index} * payload_bytes;
    places[i].at.bytes = static_cast<uint32_t>(payload_bytes);
  }
  return Ok();
}

Status RocksBlocks::LoadChecksums(const RocksDatabase::Access& access,
                                  std::vector<BlockId> firsts) {
  std::ranges::sort(firsts);
  firsts.erase(std::unique(firsts.begin(), firsts.end()), firsts.end());
  std::vector<Status> statuses(firsts.size(), Status(Ok()));
  readers_.Run(firsts.size(), [&](size_t i) {
    const std::string key = ChecksumsKey(firsts[i]);
    std::string value;
    Status got = GetValue(access, key, value);
    const bool damaged =
        !got && (got.error().code == Errc::kCorruption || got.error().code == Errc::kNotFound);
    if (!got && !damaged) {
      statuses[i] = std::move(got);
      return;
    }
    const std::lock_guard lock(mutex_);
    RunMap::Entry* const entry = runs_.FindFirst(firsts[i]);
    if (entry == nullptr || !entry->checksums.empty()) return;
    auto checksums = got ? DecodeChecksums(key, std::move(value), entry->run.blocks)
                         : Result<std::vector<uint64_t>>(got.error());
    if (checksums) {
      entry->checksums = std::move(checksums).value();
    } else {
      entry->damage = "its checksum cannot be read: " + checksums.error().message;
    }
  });
  for (const Status& status : statuses) CAIRN_TRY(status);
  return Ok();
}

Status RocksBlocks::Locate(const RocksDatabase::Access& access, std::span<const BlockId> ids,
                           size_t payload_bytes, std::span<Place> places) {
  std::vector<uint64_t> segments(ids.size());
  for (std::vector<BlockId> unloaded;; unloaded.clear()) {
    CAIRN_TRY(LookUp(ids, payload_bytes, places, unloaded, segments));
    if (unloaded.empty()) break;
    CAIRN_TRY(LoadChecksums(access, std::move(unloaded)));
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    Result<RocksSegments::File*> file = segments_.Open(segments[i]);
    if (!file) {
      return Fail(file.error().code, "{} cannot be read: {}", ToString(ids[i]),
                  file.error().message);
    }
    places[i].file = file.value();
    places[i].at.fd = file.value()->fd;
  }
  return Ok();
}

Status RocksBlocks::ReadAlone(const BlockId& id, const Place& place,
                              std::span<std::byte> target) const {
  const uint64_t begin = place.at.offset / kSegmentPageBytes * kSegmentPageBytes;
  const uint64_t end = WholePages(place.at.offset + place.at.bytes);
  const PageBytes pages = PageMemory::Allocate(end - begin);
  if (pages == nullptr) return Fail(Errc::kResource, "no memory to read {}", ToString(id));
  const Status read = segments_.Read(*place.file, begin, {pages.get(), end - begin});
  if (!read) {
    return Fail(read.error().code, "{} cannot be read: {}", ToString(id), read.error().message);
  }
  std::memcpy(target.data(), pages.get() + (place.at.offset - begin), target.size());
  if (PayloadChecksum(id, target) == place.checksum) return Ok();
  return BlockDamaged(id, "its checksum does not fit");
}

Status RocksBlocks::Read(const RocksDatabase::Access& access, std::span<const BlockId> ids,
                         size_t payload_bytes, std::span<std::byte* const> targets) {
  std::vector<Place> places(ids.size());
  const Opened opened(segments_, places);
  CAIRN_TRY(Locate(access, ids, payload_bytes, places));
  std::vector<char> good(ids.size(), 0);
  if (batches_ && payload_bytes <= BatchReader::kMaxPlaceBytes) {
    std::vector<FilePlace> wanted;
    for (const Place& place : places) wanted.push_back(place.at);
    batches_->Read(wanted, [&](size_t i, std::span<const std::byte> bytes) {
      if (bytes.size() != payload_bytes) return;
      good[i] = PayloadChecksum(ids[i], bytes) == places[i].checksum;
      if (good[i] != 0) std::memcpy(targets[i], bytes.data(), payload_bytes);
    });
  }
  // What was not read, or not as it was written, is looked at once more, by itself.
  for (size_t i = 0; i < ids.size(); ++i) {
    if (good[i] == 0) CAIRN_TRY(ReadAlone(ids[i], places[i], {targets[i], payload_bytes}));
  }
  return Ok();
}

// ---- What there is

std::vector<uint64_t> RocksBlocks::Extents() {
  const std::lock_guard lock(mutex_);
  return runs_.Extents();
}

uint64_t RocksBlocks::payload_bytes() {
  const std::lock_guard lock(mutex_);
  return runs_.payload_bytes();
}

uint64_t RocksBlocks::AllocatedBytes() const {
  uint64_t bytes = 0;
  const auto files = segments_.List();
  if (!files) return 0;
  for (const SegmentInfo& file : files.value()) bytes += file.allocated_bytes;
  return bytes;
}

Result<std::vector<StoreFile>> RocksBlocks::Files() {
  std::map<uint64_t, uint64_t> blocks;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [first, entry] : runs_.entries()) {
      if (entry.known) blocks[entry.run.segment] += entry.run.blocks;
    }
  }
  CAIRN_TRY(const std::vector<SegmentInfo> segments, segments_.List());
  std::vector<StoreFile> files;
  for (const SegmentInfo& segment : segments) {
    const std::string path = segments_.PathOf(segment.number);
    files.push_back({.name = path.substr(path.rfind('/', path.rfind('/') - 1) + 1),
                     .payload = true,
                     .bytes = segment.allocated_bytes,
                     .entries = blocks[segment.number]});
  }
  return files;
}

}  // namespace cairn
