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

namespace cairn::test {
namespace {

namespace fs = std::filesystem;

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
  CAIRN_TRY(damage->ReadSegments(path));
  damage->FindBlocks(model);
  for (const Block& block : damage->blocks_) CAIRN_TRY(damage->ReadOne(block));
  return damage;
}

OpenDamage::~OpenDamage() {
  for (const Segment& segment : segments_) close(segment.fd);
}

Status OpenDamage::ReadSegments(const std::string& path) {
  for (const auto& entry : fs::directory_iterator(path + "/blocks")) {
    std::ifstream file(entry.path(), std::ios::binary);
    Segment segment{.bytes = {std::istreambuf_iterator<char>(file), {}}};
    segment.fd = open(entry.path().c_str(), O_WRONLY | O_CLOEXEC);
    if (segment.fd < 0) return Fail(Errc::kIo, "cannot open {}", entry.path().string());
    segments_.push_back(std::move(segment));
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
        for (size_t i = 0; i < segments_.size(); ++i) {
          const size_t at = segments_[i].bytes.find(bytes);
          if (at == std::string::npos) continue;
          blocks_.push_back({id, commit.seed, i, at, at + payload.size()});
        }
      }
    }
  }
}

std::string OpenDamage::Change(const Block& block, std::mt19937_64& random, size_t* begin) const {
  const std::string& file = segments_[block.segment].bytes;
  const size_t bytes = block.end - block.begin;
  *begin = block.begin;
  std::string changed = file.substr(block.begin, bytes);
  switch (random() % 6) {
    case 0: {  // zeros from somewhere to the end of a sector
      *begin = block.begin + random() % bytes;
      const size_t end = std::min(block.end, (*begin / 512 + 1) * 512);
      return std::string(end - *begin, '\0');
    }
    case 1: {  // another block of the same size in its place
      const Block& other = blocks_[random() % blocks_.size()];
      const std::string& from = segments_[other.segment].bytes;
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

Status OpenDamage::Write(const Segment& segment, size_t begin, std::string_view bytes) const {
  const ssize_t written = pwrite(segment.fd, bytes.data(), bytes.size(), static_cast<off_t>(begin));
  if (written == static_cast<ssize_t>(bytes.size())) return Ok();
  return Fail(Errc::kIo, "cannot damage a segment: {}", std::strerror(errno));
}

Status OpenDamage::ReadOne(const Block& block) const {
  std::vector<std::byte> payload(kModelPayloadBytes);
  std::byte* target = payload.data();
  CAIRN_TRY(store_->ReadBlocks({&block.id, 1}, payload.size(), {&target, 1}));
  if (payload == ModelPayload(block.id, block.seed)) return Ok();
  return Fail(Errc::kMismatch, "{} was read with other bytes", ToString(block.id));
}

Status OpenDamage::Round(std::mt19937_64& random, OpenDamageCounts* counts) {
  const Block& block = blocks_[random() % blocks_.size()];
  const Block& other = blocks_[random() % blocks_.size()];
  const Segment& segment = segments_[block.segment];
  size_t begin = 0;
  const std::string changed = Change(block, random, &begin);
  CAIRN_TRY(Write(segment, begin, changed));
  const Status hit = ReadOne(block);
  const Status beside = &other == &block ? Ok() : ReadOne(other);
  CAIRN_TRY(Write(segment, begin, std::string_view(segment.bytes).substr(begin, changed.size())));
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
