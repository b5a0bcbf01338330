// LadderStore: blocks of one size in a store on disk, and what reads them needs; LadderFile: a
// plain file beside it, for the device itself and for the page cache. Both hold random bytes, which
// nothing on the way can make smaller.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "bench/raw_file.h"
#include "storage/rocks_cold_store.h"

namespace cairn {

/// Random bytes, a page-aligned piece of memory; the same for the same seed.
class RandomBytes {
 public:
  RandomBytes(size_t bytes, uint64_t seed);
  std::span<const std::byte> all() const { return {data_.get(), bytes_}; }
  std::byte* data() { return data_.get(); }

 private:
  struct Freed {
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte[], Freed> data_;
  size_t bytes_;
};

class LadderStore {
 public:
  /// Makes a store in `directory` with `total_bytes` of blocks. `stop` is asked between files.
  static Result<std::unique_ptr<LadderStore>> Make(const std::string& directory,
                                                   uint64_t block_bytes, uint64_t total_bytes,
                                                   FunctionRef<bool()> stop);

  RocksColdStore& cold() { return *cold_; }
  uint64_t block_bytes() const { return block_bytes_; }
  uint32_t blocks() const { return blocks_; }
  BlockId IdOf(uint32_t index) const;
  /// Ids of blocks [first, first + count) in a random order.
  std::vector<BlockId> Shuffled(uint32_t first, uint32_t count, uint64_t seed) const;

 private:
  LadderStore(uint64_t block_bytes, uint32_t blocks) : block_bytes_(block_bytes), blocks_(blocks) {}

  std::unique_ptr<RocksColdStore> cold_;  // read-only
  uint64_t block_bytes_;
  uint32_t blocks_;
};

class LadderFile {
 public:
  /// Makes `directory`/raw of about `total_bytes`. kUnsupported where nothing can be read past the
  /// page cache.
  static Result<std::unique_ptr<LadderFile>> Make(const std::string& directory,
                                                  uint64_t total_bytes, FunctionRef<bool()> stop);
  ~LadderFile();
  LadderFile(const LadderFile&) = delete;
  LadderFile& operator=(const LadderFile&) = delete;

  const std::string& path() const { return path_; }
  uint64_t bytes() const { return raw_.bytes(); }
  int direct_fd() const { return raw_.fd(); }
  int cached_fd() const { return cached_fd_; }
  /// Brings the first `bytes` into the page cache.
  Status Cache(uint64_t bytes) const;

 private:
  LadderFile(std::string path, RawFile raw) : path_(std::move(path)), raw_(std::move(raw)) {}

  std::string path_;
  RawFile raw_;
  int cached_fd_ = -1;
};

/// Takes what the page cache has of the files in `directory` out of it; what is not yet on disk is
/// written first.
void ForgetCachedPages(const std::string& directory);

}  // namespace cairn
