#include "storage/rocks_segment_writer.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "storage/block_format.h"
#include "storage/rocks_options.h"

namespace cairn {

PageBytes PageMemory::Allocate(size_t bytes) {
  return PageBytes(
      static_cast<std::byte*>(std::aligned_alloc(kSegmentPageBytes, WholePages(bytes))));
}

RocksSegmentWriter::RocksSegmentWriter(RocksSegments& segments, rocksdb::Env* env, bool direct_io,
                                       uint64_t segment_bytes, WorkerPool& workers)
    : segments_(segments),
      env_(env),
      direct_io_(direct_io),
      segment_bytes_(segment_bytes),
      workers_(workers) {}

RocksSegmentWriter::~RocksSegmentWriter() = default;

void RocksSegmentWriter::Close() {
  if (file_ != nullptr) (void)file_->Close();
  file_.reset();
}

void RocksSegmentWriter::StartNewFile() {
  Close();
  start_new_ = true;
}

/// Opens the last file to go on in it, or a new one if that ends elsewhere than its runs.
Status RocksSegmentWriter::OpenLast(const InUse& in_use) {
  CAIRN_TRY(const std::vector<SegmentInfo> files, segments_.List());
  number_ = in_use.empty() ? 0 : in_use.rbegin()->first;
  if (!files.empty()) number_ = std::max(number_, files.back().number);
  const auto used = in_use.find(number_);
  end_ = used == in_use.end() || used->second.empty() ? 0 : used->second.back().end;
  const bool goes_on = !start_new_ && end_ > 0 && end_ < segment_bytes_ && !files.empty() &&
                       files.back().number == number_ && files.back().bytes == end_;
  rocksdb::EnvOptions options;
  options.use_mmap_writes = false;
  options.use_direct_writes = direct_io_;
  options.allow_fallocate = false;
  is_new_ = !goes_on;
  if (!goes_on) {
    number_ = std::max(number_, last_number_) + 1;
    end_ = 0;
  }
  const std::string path = segments_.PathOf(number_), action = "cannot write " + path;
  const rocksdb::Status opened = goes_on ? env_->ReopenWritableFile(path, &file_, options)
                                         : env_->NewWritableFile(path, &file_, options);
  last_number_ = number_;
  if (!opened.ok()) file_.reset();
  if (opened.ok()) start_new_ = false;
  return FromRocks(opened, action);
}

Status RocksSegmentWriter::Prepare(uint64_t bytes, const InUse& in_use) {
  for (PageBytes& piece : pieces_) {
    if (piece == nullptr) piece = PageMemory::Allocate(kPieceBytes);
    if (piece == nullptr) return Fail(Errc::kResource, "no memory to write blocks from");
  }
  if (file_ != nullptr && end_ > 0 && end_ + bytes > segment_bytes_) {
    CAIRN_TRY(Sync());
    StartNewFile();
  }
  if (file_ == nullptr) CAIRN_TRY(OpenLast(in_use));
  if (!is_new_ && end_ + bytes > segment_bytes_) {
    StartNewFile();
    CAIRN_TRY(OpenLast(in_use));
  }
  return Ok();
}

Status RocksSegmentWriter::Write(std::span<const std::byte> piece) {
  const rocksdb::Slice bytes(reinterpret_cast<const char*>(piece.data()), piece.size());
  const rocksdb::Status written =
      direct_io_ ? file_->PositionedAppend(bytes, end_) : file_->Append(bytes);
  CAIRN_TRY(FromRocks(written, "cannot write " + segments_.PathOf(number_)));
  end_ += piece.size();
  return Ok();
}

Status RocksSegmentWriter::AppendRun(BlockRun& run, Fill fill, const InUse& in_use) {
  CAIRN_TRY(Prepare(WholePages(run.bytes()), in_use));
  run.segment = number_;
  run.offset = end_;
  const uint64_t bytes = run.bytes();
  const uint64_t pieces = (bytes + kPieceBytes - 1) / kPieceBytes;
  const auto part = [&](uint64_t piece) {
    return std::span(pieces_[piece % 2].get(),
                     std::min<uint64_t>(kPieceBytes, bytes - piece * kPieceBytes));
  };
  const auto fill_piece = [&](uint64_t piece) -> Status {
    const std::span<std::byte> into = part(piece);
    CAIRN_TRY(fill(piece * kPieceBytes, into));
    std::memset(into.data() + into.size(), 0, WholePages(into.size()) - into.size());
    return Ok();
  };
  CAIRN_TRY(fill_piece(0));
  for (uint64_t piece = 0; piece < pieces; ++piece) {
    Status written = Ok(), filled = Ok();
    workers_.Run(2, [&](size_t task) {
      if (task == 0) {
        const std::span<std::byte> from = part(piece);
        written = Write({from.data(), WholePages(from.size())});
      } else if (piece + 1 < pieces) {
        filled = fill_piece(piece + 1);
      }
    });
    CAIRN_TRY(written);
    CAIRN_TRY(filled);
  }
  return Ok();
}

Status RocksSegmentWriter::Sync() {
  if (file_ == nullptr) return Ok();
  const std::string action = "cannot sync " + segments_.PathOf(number_);
  CAIRN_TRY(FromRocks(file_->Sync(), action));
  if (!is_new_) return Ok();
  std::unique_ptr<rocksdb::Directory> directory;
  CAIRN_TRY(FromRocks(env_->NewDirectory(segments_.directory(), &directory), action));
  CAIRN_TRY(FromRocks(directory->Fsync(), action));
  is_new_ = false;
  return Ok();
}

Result<std::vector<RunMap::Entry>> RocksSegmentWriter::Append(std::span<const BlockRecord> records,
                                                              const InUse& in_use) {
  std::vector<RunMap::Entry> entries;
  size_t first = 0;
  const auto append_all = [&]() -> Status {
    for (BlockRun& run : RunsOf(records, segment_bytes_)) {
      const auto own = records.subspan(first, run.blocks);
      first += run.blocks;
      RunMap::Entry entry{.run = run, .checksums = std::vector<uint64_t>(run.blocks)};
      const auto fill = [&](uint64_t offset, std::span<std::byte> bytes) -> Status {
        size_t block = offset / run.payload_bytes;
        size_t skip = offset % run.payload_bytes;
        while (!bytes.empty()) {
          const auto& [id, payload] = own[block];
          if (skip == 0) entry.checksums[block] = PayloadChecksum(id, payload);
          const size_t count = std::min(bytes.size(), payload.size() - skip);
          std::memcpy(bytes.data(), payload.data() + skip, count);
          bytes = bytes.subspan(count);
          skip = 0;
          ++block;
        }
        return Ok();
      };
      CAIRN_TRY(AppendRun(entry.run, fill, in_use));
      entries.push_back(std::move(entry));
    }
    return Sync();
  };
  const Status appended = append_all();
  if (appended) return entries;
  StartNewFile();
  return appended.error();
}

}  // namespace cairn
