#include "bench/ladder_store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <random>
#include <utility>

#include "base/byte_size.h"
#include "base/check.h"

namespace cairn {
namespace {

constexpr size_t kPageBytes = 4096;
constexpr uint64_t kFileBytes = 32 * kMiB;  // written at once
constexpr uint16_t kLayers = 8, kHeads = 4;
constexpr uint64_t kExtent = 1;

Error Stopped() { return Fail(Errc::kInterrupted, "stopped; what the ladder had made is removed"); }

}  // namespace

void RandomBytes::Freed::operator()(std::byte* memory) const { std::free(memory); }

RandomBytes::RandomBytes(size_t bytes, uint64_t seed)
    : bytes_((bytes + kPageBytes - 1) / kPageBytes * kPageBytes) {
  data_.reset(static_cast<std::byte*>(std::aligned_alloc(kPageBytes, bytes_)));
  CAIRN_CHECK(data_ != nullptr);
  uint64_t state = seed * 0x9e3779b97f4a7c15u | 1;
  for (size_t i = 0; i < bytes_; i += sizeof state) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    std::memcpy(data_.get() + i, &state, sizeof state);
  }
}

BlockId LadderStore::IdOf(uint32_t index) const {
  return {kExtent, index / (kLayers * kHeads), static_cast<uint16_t>(index / kHeads % kLayers),
          static_cast<uint16_t>(index % kHeads)};
}

std::vector<BlockId> LadderStore::Shuffled(uint32_t first, uint32_t count, uint64_t seed) const {
  std::vector<BlockId> ids;
  for (uint32_t i = first; i < std::min(first + count, blocks_); ++i) ids.push_back(IdOf(i));
  std::mt19937_64 random(seed);
  std::ranges::shuffle(ids, random);
  return ids;
}

Result<std::unique_ptr<LadderStore>> LadderStore::Make(const std::string& directory,
                                                       uint64_t block_bytes, uint64_t total_bytes,
                                                       FunctionRef<bool()> stop) {
  constexpr uint32_t kPerOrdinal = kLayers * kHeads;
  const uint64_t ordinals = std::max<uint64_t>(total_bytes / block_bytes / kPerOrdinal, 1);
  const auto blocks = static_cast<uint32_t>(ordinals * kPerOrdinal);
  std::unique_ptr<LadderStore> store(new LadderStore(block_bytes, blocks));
  const uint64_t per_write =
      std::max<uint64_t>(kFileBytes / block_bytes / kPerOrdinal, 1) * kPerOrdinal;
  CAIRN_TRY(auto cold, RocksColdStore::Open(directory, {.create = true}));
  for (uint64_t first = 0; first < blocks; first += per_write) {
    if (stop()) return Stopped();
    const uint64_t count = std::min(per_write, blocks - first);
    const RandomBytes bytes(count * block_bytes, block_bytes + first);
    std::vector<BlockRecord> records;
    for (uint64_t i = 0; i < count; ++i) {
      records.push_back({store->IdOf(static_cast<uint32_t>(first + i)),
                         bytes.all().subspan(i * block_bytes, block_bytes)});
    }
    CAIRN_TRY(cold->WriteBlocks(records));
    CAIRN_TRY(cold->WriteMeta({}));
  }
  cold.reset();
  CAIRN_TRY(store->cold_, RocksColdStore::Open(directory, {.read_only = true}));
  return store;
}

Result<std::unique_ptr<LadderFile>> LadderFile::Make(const std::string& directory,
                                                     uint64_t total_bytes,
                                                     FunctionRef<bool()> stop) {
  const std::string path = directory + "/raw";
  CAIRN_TRY(RawFile raw, RawFile::Create(path));
  std::unique_ptr<LadderFile> file(new LadderFile(path, std::move(raw)));
  const uint64_t bytes = std::max(total_bytes / kMiB, uint64_t{1}) * kMiB;
  while (file->bytes() < bytes) {
    if (stop()) return Stopped();
    const RandomBytes piece(std::min(kFileBytes, bytes - file->bytes()), file->bytes() + 1);
    CAIRN_TRY(file->raw_.Append(piece.all()));
  }
  file->cached_fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file->cached_fd_ >= 0) return file;
  return Fail(Errc::kIo, "cannot open {}: {}", path, std::strerror(errno));
}

LadderFile::~LadderFile() {
  if (cached_fd_ >= 0) close(cached_fd_);
}

Status LadderFile::Cache(uint64_t bytes) const {
  std::vector<char> buffer(kMiB);
  for (uint64_t at = 0; at < std::min(bytes, this->bytes()); at += buffer.size()) {
    if (pread(cached_fd_, buffer.data(), buffer.size(), static_cast<off_t>(at)) <= 0) {
      return Fail(Errc::kIo, "cannot read {}: {}", path_, std::strerror(errno));
    }
  }
  return Ok();
}

void ForgetCachedPages(const std::string& directory) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(directory, ignored)) {
    const int fd = open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) continue;
    (void)!fdatasync(fd);
    (void)!posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
  }
}

}  // namespace cairn
