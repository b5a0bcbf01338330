#include "store_fixture.h"

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>

#include "base/hash.h"
#include "storage/catalog_format.h"
#include "storage/session_catalog.h"

namespace cairn {
namespace {

constexpr const char* kInheritedDirectory = "CAIRN_TEST_DIRECTORY";

}  // namespace

std::mt19937_64 SeededRandom() {
  const char* given = std::getenv("CAIRN_TEST_SEED");
  const uint64_t seed = given != nullptr ? std::strtoull(given, nullptr, 10) : 20260117;
  std::cout << "CAIRN_TEST_SEED=" << seed << "\n";
  return std::mt19937_64(seed);
}

uint32_t Pick(std::mt19937_64& random, uint32_t below) {
  return static_cast<uint32_t>(random() % below);
}

TempDirectory::TempDirectory(bool inherit) {
  const char* inherited = inherit ? std::getenv(kInheritedDirectory) : nullptr;
  if (inherited != nullptr) {
    path_ = inherited;
    owner_ = false;
    return;
  }
  std::string name = (std::filesystem::temp_directory_path() / "cairn_test_XXXXXX").string();
  EXPECT_NE(mkdtemp(name.data()), nullptr);
  path_ = name;
  if (inherit) setenv(kInheritedDirectory, path_.c_str(), 1);
}

TempDirectory::~TempDirectory() {
  if (!owner_) return;
  unsetenv(kInheritedDirectory);
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::vector<std::byte> PayloadOf(const BlockId& id, size_t bytes, uint64_t version) {
  std::vector<std::byte> payload(bytes);
  std::mt19937_64 random(Hash64(&id, sizeof id, version));
  for (std::byte& byte : payload) byte = static_cast<std::byte>(random());
  return payload;
}

Status WriteAll(ColdStore& store, const std::vector<BlockId>& ids, size_t payload_bytes) {
  std::vector<std::vector<std::byte>> payloads;
  std::vector<BlockRecord> records;
  for (const BlockId& id : ids) payloads.push_back(PayloadOf(id, payload_bytes));
  for (size_t i = 0; i < ids.size(); ++i) records.push_back({ids[i], payloads[i]});
  return store.WriteBlocks(records);
}

Status KeepAll(ColdStore& store, const std::vector<BlockId>& ids, size_t payload_bytes) {
  CAIRN_TRY(WriteAll(store, ids, payload_bytes));
  return store.WriteMeta({});
}

Status ReadOne(ColdStore& store, const BlockId& id, size_t payload_bytes) {
  std::vector<std::byte> payload(payload_bytes);
  std::byte* target = payload.data();
  return store.ReadBlocks({&id, 1}, payload.size(), {&target, 1});
}

void ExpectReads(ColdStore& store, const BlockId& id, size_t payload_bytes) {
  std::vector<std::byte> payload(payload_bytes);
  std::byte* target = payload.data();
  ASSERT_GOOD(store.ReadBlocks({&id, 1}, payload.size(), {&target, 1}));
  EXPECT_EQ(payload, PayloadOf(id, payload_bytes)) << ToString(id);
}

std::vector<BlockId> BlocksOf(uint64_t extent, uint32_t first, uint32_t count, uint16_t layers,
                              uint16_t heads) {
  std::vector<BlockId> ids;
  for (uint32_t ordinal = first; ordinal < first + count; ++ordinal) {
    for (uint16_t layer = 0; layer < layers; ++layer) {
      for (uint16_t head = 0; head < heads; ++head) ids.push_back({extent, ordinal, layer, head});
    }
  }
  return ids;
}

std::unique_ptr<RocksColdStore> OpenRocks(const std::string& path, RocksColdStoreOptions options) {
  options.read_threads = 4;
  Result<std::unique_ptr<RocksColdStore>> store = RocksColdStore::Open(path, options);
  EXPECT_TRUE(store.has_value()) << store.error().message;
  // Without the catalog's first entries a store that is opened again would seem damaged.
  if (store && options.create && !store.value()->ReadMeta(kFormatKey).value()) {
    EXPECT_TRUE(SessionCatalog::Open(*store.value(), false).has_value());
  }
  return store ? std::move(store).value() : nullptr;
}

std::unique_ptr<RocksColdStore> OpenWriter(const std::string& path) {
  return OpenRocks(path, {.create = true});
}

}  // namespace cairn
