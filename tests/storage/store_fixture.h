// What the tests of storage/ share: seeds, temporary directories, payloads that tell their block.
#pragma once

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "storage/block_id.h"
#include "storage/cold_store.h"
#include "storage/rocks_cold_store.h"

namespace cairn {

/// A generator whose seed is printed; CAIRN_TEST_SEED in the environment replays one.
std::mt19937_64 SeededRandom();

/// A number in [0, below).
uint32_t Pick(std::mt19937_64& random, uint32_t below);

/// A new directory, removed with the object. Children of a test started by fork and exec get their
/// parent's one, see `inherit`.
class TempDirectory {
 public:
  explicit TempDirectory(bool inherit = false);
  ~TempDirectory();
  TempDirectory(const TempDirectory&) = delete;
  TempDirectory& operator=(const TempDirectory&) = delete;
  const std::string& path() const { return path_; }
  std::string store() const { return path_ + "/store"; }

 private:
  std::string path_;
  bool owner_ = true;
};

/// Bytes that differ from block to block and from one `version` to the next.
std::vector<std::byte> PayloadOf(const BlockId& id, size_t bytes, uint64_t version = 0);

/// Writes the blocks (sorted) with the payloads of PayloadOf in one call.
Status WriteAll(ColdStore& store, const std::vector<BlockId>& ids, size_t payload_bytes);
/// The same, and that they are there becomes durable.
Status KeepAll(ColdStore& store, const std::vector<BlockId>& ids, size_t payload_bytes);
/// Reads one block and compares it with PayloadOf.
void ExpectReads(ColdStore& store, const BlockId& id, size_t payload_bytes);
/// Reads one block; the error, or success.
Status ReadOne(ColdStore& store, const BlockId& id, size_t payload_bytes);

/// All blocks of ordinals [first, first + count) with `layers` layers and `heads` heads, sorted.
std::vector<BlockId> BlocksOf(uint64_t extent, uint32_t first, uint32_t count, uint16_t layers,
                              uint16_t heads);

/// One that it makes has the catalog's first entries.
std::unique_ptr<RocksColdStore> OpenRocks(const std::string& path, RocksColdStoreOptions options);
/// A writer that creates its store.
std::unique_ptr<RocksColdStore> OpenWriter(const std::string& path);

}  // namespace cairn

/// Asserts that a Status or Result is good, with its message if not.
#define ASSERT_GOOD(expression)                                    \
  do {                                                             \
    const auto& checked_ = (expression);                           \
    ASSERT_TRUE(checked_.has_value()) << checked_.error().message; \
  } while (false)
#define EXPECT_GOOD(expression)                                    \
  do {                                                             \
    const auto& checked_ = (expression);                           \
    EXPECT_TRUE(checked_.has_value()) << checked_.error().message; \
  } while (false)
#define EXPECT_ERROR(expression, errc, fragment)                         \
  do {                                                                   \
    const auto& failed_ = (expression);                                  \
    ASSERT_FALSE(failed_.has_value());                                   \
    EXPECT_EQ(failed_.error().code, errc) << failed_.error().message;    \
    EXPECT_NE(failed_.error().message.find(fragment), std::string::npos) \
        << failed_.error().message;                                      \
  } while (false)
