// OpenDamage: a store that stays open while something is wrong with its block records, again and
// again: bits flipped, pages zeroed or replaced, whole records changed for each other. Thousands a
// second, since nothing is opened or copied; what a table's index and all other files may suffer is
// DamageRun's.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/error.h"
#include "storage/rocks_cold_store.h"
#include "tests/support/store_model.h"

namespace cairn::test {

struct OpenDamageCounts {
  uint64_t damaged = 0;
  uint64_t detected = 0;  ///< a record that was hit is an error
  uint64_t harmless = 0;  ///< all that were hit read as they were written

  OpenDamageCounts& operator+=(const OpenDamageCounts& other);
};

class OpenDamage {
 public:
  /// A store that holds what `model` says and that nobody else has open.
  static Result<std::unique_ptr<OpenDamage>> Open(const std::string& path, const StoreModel& model);
  ~OpenDamage();

  /// Blocks that were found in a file.
  size_t blocks() const { return blocks_.size(); }
  /// One damage, looked at and taken back. kMismatch: bytes were served that were never written, or
  /// a block that was not hit cannot be read.
  Status Round(std::mt19937_64& random, OpenDamageCounts* counts);

 private:
  struct Segment {
    int fd = -1;
    std::string bytes{};
  };
  /// A block and where its payload lies.
  struct Block {
    BlockId id;
    uint64_t seed = 0;
    size_t segment = 0;
    size_t begin = 0;
    size_t end = 0;
  };

  OpenDamage() = default;
  Status ReadSegments(const std::string& path);
  void FindBlocks(const StoreModel& model);
  /// Changes `bytes` of the segment, which begin at `begin` in it.
  std::string Change(const Block& block, std::mt19937_64& random, size_t* begin) const;
  Status Write(const Segment& segment, size_t begin, std::string_view bytes) const;
  /// Good if the block reads as written; kMismatch if it reads otherwise.
  Status ReadOne(const Block& block) const;

  std::unique_ptr<RocksColdStore> store_;
  std::vector<Segment> segments_;
  std::vector<Block> blocks_;
};

}  // namespace cairn::test
