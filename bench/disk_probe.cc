#include "bench/disk_probe.h"

#include <fmt/core.h>
#include <unistd.h>

#include <atomic>
#include <random>
#include <span>
#include <vector>

#include "base/byte_size.h"
#include "base/page_buffer.h"
#include "bench/process_usage.h"
#include "bench/raw_file.h"
#include "storage/batch_reader.h"
#include "storage/worker_pool.h"

namespace cairn {
namespace {

constexpr uint64_t kSyncBytes = kMiB, kPieceBytes = 8 * kMiB;
constexpr int kSyncs = 16, kPieces = 6;
constexpr double kPhaseSeconds = 1.2;  // a slow disk is known for one after so long
constexpr uint32_t kBlockBytes = 16 * kKiB;
constexpr size_t kBatch = 64;
constexpr int kReaders = 16;

/// Appends pieces until there are enough or time is up; the time of each.
Result<std::vector<double>> Append(RawFile& file, std::span<const std::byte> piece, int pieces) {
  std::vector<double> seconds;
  for (const Stopwatch watch; pieces > 0 && watch.Seconds() < kPhaseSeconds; --pieces) {
    const Stopwatch one;
    CAIRN_TRY(file.Append(piece));
    seconds.push_back(one.Seconds());
  }
  return seconds;
}

/// Batches at random places until time is up; the time of each.
Result<std::vector<double>> ReadBatches(const RawFile& file, BatchReader& reader) {
  std::mt19937_64 random(1);
  std::vector<double> seconds;
  std::vector<FilePlace> places(kBatch);
  std::atomic<bool> failed = false;
  for (const Stopwatch watch; watch.Seconds() < kPhaseSeconds && !failed;) {
    for (FilePlace& place : places) {
      const uint64_t block = random() % (file.bytes() / kBlockBytes);
      place = {.fd = file.fd(), .offset = block * kBlockBytes, .bytes = kBlockBytes};
    }
    const Stopwatch one;
    reader.Read(places, [&](size_t, std::span<const std::byte> read) {
      if (read.empty()) failed = true;
    });
    seconds.push_back(one.Seconds());
  }
  if (failed) return Fail(Errc::kIo, "a file just written cannot be read; check the disk");
  return seconds;
}

}  // namespace

Result<DiskProbe> DiskProbe::Measure(const std::string& directory) {
  const std::string path = fmt::format("{}/.cairn-probe-{}", directory, getpid());
  CAIRN_TRY(RawFile file, RawFile::Create(path));
  unlink(path.c_str());
  PageBuffer data(kPieceBytes);
  const std::span<std::byte> bytes(data.data(), kPieceBytes);
  std::mt19937_64 random(2);  // numbers that no disk packs
  for (size_t at = 0; at < bytes.size(); at += sizeof(uint64_t)) {
    *reinterpret_cast<uint64_t*>(bytes.data() + at) = random();
  }
  DiskProbe probe;
  CAIRN_TRY(const auto syncs, Append(file, bytes.first(kSyncBytes), kSyncs));
  CAIRN_TRY(const auto pieces, Append(file, bytes, kPieces));
  probe.sync_ms = 1e3 * Median(syncs);
  probe.write_bytes_per_second = static_cast<double>(kPieceBytes) / Median(pieces);
  WorkerPool workers(kReaders);
  BatchReader reader(BatchReader::Method::kRing, workers);
  CAIRN_TRY(const auto batches, ReadBatches(file, reader));
  const double batch = Median(batches);
  probe.read_batch_ms = 1e3 * batch;
  probe.read_bytes_per_second = static_cast<double>(kBatch * kBlockBytes) / batch;
  probe.by_ring = reader.method() == BatchReader::Method::kRing;
  probe.file_bytes = file.bytes();
  return probe;
}

}  // namespace cairn
