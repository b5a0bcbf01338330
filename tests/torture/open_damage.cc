#include "tests/torture/open_damage.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "storage/block_format.h"

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

/// Of a data block that has one record: what stands before the record (lengths and key) and behind
/// it (restarts, type, checksum).
constexpr size_t kBeforeRecord = 3 + 1 + kBlockKeyBytes + 8;
constexpr size_t kBehindRecord = 13;

}  // namespace

OpenDamageCounts& OpenDamageCounts::operator+=(const OpenDamageCounts& other) {
  damaged += other.damaged;
  detected += other.detected;
  harmless += other.harmless;
  return *this;
}

Result<std::unique_ptr<OpenDamage>> OpenDamage::Open(const std::string& path,
                                                     const StoreModel& model) {
  std::unique_ptr<OpenDamage> damage(new OpenDamage());
  CAIRN_TRY(damage->store_, RocksColdStore::Open(path, {.read_only = true, .read_threads = 1}));
  CAIRN_TRY(damage->ReadTables(path));
  damage->FindBlocks(model);
  for (const Block& block : damage->blocks_) CAIRN_TRY(damage->ReadOne(block));
  return damage;
}

OpenDamage::~OpenDamage() {
  for (const Table& table : tables_) close(table.fd);
}

Status OpenDamage::ReadTables(const std::string& path) {
  for (const auto& entry : fs::directory_iterator(path + "/db")) {
    if (entry.path().extension() != ".sst") continue;
    std::ifstream file(entry.path(), std::ios::binary);
    Table table{.bytes = {std::istreambuf_iterator<char>(file), {}}};
    table.fd = open(entry.path().c_str(), O_WRONLY | O_CLOEXEC);
    if (table.fd < 0) return Fail(Errc::kIo, "cannot open {}", entry.path().string());
    tables_.push_back(std::move(table));
  }
  return Ok();
}

void OpenDamage::FindBlocks(const StoreModel& model) {
  std::vector<BlockId> seen;  // forks share them
  for (const auto& [name, session] : model.sessions) {
    for (const ModelCommit& commit : session.commits) {
      for (const BlockId& id : ModelBlocks(commit.extent, commit.first, commit.blocks)) {
        if (std::ranges::find(seen, id) != seen.end()) continue;
        seen.push_back(id);
        const std::vector<std::byte> payload = ModelPayload(id, commit.seed);
        const std::string_view bytes(reinterpret_cast<const char*>(payload.data()), payload.size());
        for (size_t i = 0; i < tables_.size(); ++i) {
          const size_t at = tables_[i].bytes.find(bytes);
          if (at == std::string::npos) continue;
          const size_t end = at + RecordBytes(payload.size()) + kBehindRecord;
          blocks_.push_back({id, commit.seed, i, at - kBeforeRecord, end});
        }
      }
    }
  }
}

std::string OpenDamage::Change(const Block& block, std::mt19937_64& random, size_t* begin) const {
  const std::string& file = tables_[block.table].bytes;
  const size_t bytes = block.end - block.begin;
  *begin = block.begin;
  std::string changed = file.substr(block.begin, bytes);
  switch (random() % 6) {
    case 0: {  // zeros from somewhere to the end of a sector
      *begin = block.begin + random() % bytes;
      const size_t end = std::min(block.end, (*begin / 512 + 1) * 512);
      return std::string(end - *begin, '\0');
    }
    case 1: {  // another record of the same size in its place
      const Block& other = blocks_[random() % blocks_.size()];
      const std::string& from = tables_[other.table].bytes;
      return from.substr(other.begin, std::min(bytes, other.end - other.begin));
    }
    case 2: {  // a sector of it as another one is
      const size_t at = random() % bytes, from = random() % bytes;
      const size_t count = std::min({size_t{512}, bytes - at, bytes - from});
      changed.replace(at, count, file.substr(block.begin + from, count));
      return changed;
    }
    default:
      for (uint64_t flips = random() % 4 == 0 ? 3 : 1; flips > 0; --flips) {
        char& byte = changed[random() % bytes];
        byte = static_cast<char>(byte ^ (1 << random() % 8));
      }
      return changed;
  }
}

Status OpenDamage::Write(const Table& table, size_t begin, std::string_view bytes) const {
  const ssize_t written = pwrite(table.fd, bytes.data(), bytes.size(), static_cast<off_t>(begin));
  if (written == static_cast<ssize_t>(bytes.size())) return Ok();
  return Fail(Errc::kIo, "cannot damage a table: {}", std::strerror(errno));
}

Status OpenDamage::ReadOne(const Block& block) const {
  std::vector<std::byte> record(RecordBytes(kModelPayloadBytes));
  std::byte* target = record.data();
  CAIRN_TRY(store_->ReadBlocks({&block.id, 1}, record.size(), {&target, 1}));
  CAIRN_TRY(VerifyRecord(block.id, record));
  const std::vector<std::byte> payload = ModelPayload(block.id, block.seed);
  if (std::equal(payload.begin(), payload.end(), record.begin())) return Ok();
  return Fail(Errc::kMismatch, "{} was read with other bytes", ToString(block.id));
}

Status OpenDamage::Round(std::mt19937_64& random, OpenDamageCounts* counts) {
  const Block& block = blocks_[random() % blocks_.size()];
  const Block& other = blocks_[random() % blocks_.size()];
  const Table& table = tables_[block.table];
  size_t begin = 0;
  const std::string changed = Change(block, random, &begin);
  CAIRN_TRY(Write(table, begin, changed));
  const Status hit = ReadOne(block);
  const Status beside = &other == &block ? Ok() : ReadOne(other);
  CAIRN_TRY(Write(table, begin, std::string_view(table.bytes).substr(begin, changed.size())));
  ++counts->damaged;
  if (!hit && hit.error().code == Errc::kMismatch) return hit;
  if (!beside) {
    return Fail(Errc::kMismatch, "{} was damaged, and another block cannot be read: {}",
                ToString(block.id), beside.error().message);
  }
  ++(hit ? counts->harmless : counts->detected);
  return Ok();
}

}  // namespace cairn::test
