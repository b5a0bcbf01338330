#include "tests/torture/session_damage.h"

#include <cstddef>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string_view>
#include <vector>

#include "storage/rocks_cold_store.h"
#include "storage/session_catalog.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

void FlipBit(std::string& bytes, size_t at, std::mt19937_64& random) {
  bytes[at] = static_cast<char>(bytes[at] ^ (1 << random() % 8));
}

/// The payload of any block of the session.
Result<std::string> AnyPayload(const std::string& store, const std::string& session,
                               const BlockGrid& grid, std::mt19937_64& random) {
  CAIRN_TRY(const auto cold, RocksColdStore::Open(store, {.read_only = true, .read_threads = 1}));
  CAIRN_TRY(const auto catalog, SessionCatalog::Open(*cold, true));
  CAIRN_TRY(const SessionRecord record, catalog.Find(session));
  const ExtentRange& range = record.ranges.at(random() % record.ranges.size());
  const BlockId id{range.extent, range.first + static_cast<uint32_t>(random() % range.count),
                   static_cast<uint16_t>(random() % grid.layers),
                   static_cast<uint16_t>(random() % grid.heads)};
  std::string bytes(grid.payload_bytes, '\0');
  std::byte* target = reinterpret_cast<std::byte*>(bytes.data());
  CAIRN_TRY(cold->ReadBlocks({&id, 1}, bytes.size(), {&target, 1}));
  return bytes;
}

}  // namespace

Status DamageBlock(const std::string& store, const std::string& session, const BlockGrid& grid,
                   std::mt19937_64& random) {
  CAIRN_TRY(const std::string payload, AnyPayload(store, session, grid, random));
  for (const auto& entry : fs::directory_iterator(store + "/blocks")) {
    std::fstream file(entry.path(), std::ios::binary | std::ios::in | std::ios::out);
    std::string bytes((std::istreambuf_iterator<char>(file)), {});
    const size_t at = bytes.find(payload);
    if (at == std::string::npos) continue;
    const size_t hit = at + random() % payload.size();
    FlipBit(bytes, hit, random);
    file.seekp(static_cast<std::streamoff>(hit));
    file.put(bytes[hit]).flush();
    return file ? Ok() : Status(Fail(Errc::kIo, "cannot damage {}", entry.path().string()));
  }
  return Fail(Errc::kNotFound, "no segment has a block of '{}'", session);
}

Status DamageEntry(const std::string& store, const std::string& prefix, std::mt19937_64& random) {
  CAIRN_TRY(const auto cold, RocksColdStore::Open(store, {.read_threads = 1}));
  CAIRN_TRY(MetaEntries entries, cold->ScanMeta(prefix));
  if (entries.empty()) return Ok();
  auto& [key, value] = entries[random() % entries.size()];
  FlipBit(value, random() % value.size(), random);
  MetaBatch batch;
  batch.puts.emplace_back(key, std::move(value));
  return cold->WriteMeta(batch);
}

}  // namespace cairn::test
