#include "storage/block_format.h"

#include <bit>
#include <cstring>

#include "base/check.h"
#include "base/hash.h"

namespace cairn {
namespace {

static_assert(std::endian::native == std::endian::little, "the disk format is little-endian");

struct Trailer {
  uint64_t checksum;
  uint32_t payload_bytes;
  uint32_t magic;
};
static_assert(sizeof(Trailer) == kTrailerBytes);

template <class T>
void PutBigEndian(T value, char* out) {
  for (size_t i = 0; i < sizeof(T); ++i)
    out[i] = static_cast<char>(value >> (8 * (sizeof(T) - 1 - i)));
}

template <class T>
T GetBigEndian(const char* in) {
  T value = 0;
  for (size_t i = 0; i < sizeof(T); ++i) {
    value = static_cast<T>(value << 8) | static_cast<uint8_t>(in[i]);
  }
  return value;
}

uint64_t Checksum(std::string_view key, std::span<const std::byte> payload) {
  return Hash64(payload.data(), payload.size(), Hash64(key.data(), key.size()));
}

std::string_view View(const BlockKey& key) { return {key.data(), key.size()}; }

}  // namespace

BlockKey EncodeBlockKey(const BlockId& id) {
  BlockKey key;
  PutBigEndian(id.extent, key.data());
  PutBigEndian(id.ordinal, key.data() + 8);
  PutBigEndian(id.layer, key.data() + 12);
  PutBigEndian(id.head, key.data() + 14);
  return key;
}

Result<BlockId> DecodeBlockKey(std::string_view key) {
  if (key.size() != kBlockKeyBytes) {
    return Fail(Errc::kCorruption, "a block key has {} bytes instead of {}; the store is damaged",
                key.size(), kBlockKeyBytes);
  }
  BlockId id;
  id.extent = GetBigEndian<uint64_t>(key.data());
  id.ordinal = GetBigEndian<uint32_t>(key.data() + 8);
  id.layer = GetBigEndian<uint16_t>(key.data() + 12);
  id.head = GetBigEndian<uint16_t>(key.data() + 14);
  return id;
}

void WriteTrailer(std::string_view key, uint32_t magic, std::span<std::byte> record) {
  CAIRN_CHECK(record.size() >= kTrailerBytes);
  const auto payload = record.first(record.size() - kTrailerBytes);
  const Trailer trailer{Checksum(key, payload), static_cast<uint32_t>(payload.size()), magic};
  std::memcpy(record.data() + payload.size(), &trailer, sizeof trailer);
}

const char* CheckTrailer(std::string_view key, uint32_t magic, std::span<const std::byte> record) {
  if (record.size() < kTrailerBytes) return "it is cut short";
  const auto payload = record.first(record.size() - kTrailerBytes);
  Trailer trailer;
  std::memcpy(&trailer, record.data() + payload.size(), sizeof trailer);
  if (trailer.magic != magic) return "its trailer is not one";
  if (trailer.payload_bytes != payload.size()) return "it has another size than was written";
  if (trailer.checksum != Checksum(key, payload)) return "its checksum does not fit";
  return nullptr;
}

uint64_t PayloadChecksum(const BlockId& id, std::span<const std::byte> payload) {
  return Checksum(View(EncodeBlockKey(id)), payload);
}

Error BlockDamaged(const BlockId& id, std::string_view fault) {
  return Fail(Errc::kCorruption,
              "{} is damaged: {}; `cairn repair` with --session and --model computes it again",
              ToString(id), fault);
}

Status VerifyRecord(const BlockId& id, std::span<const std::byte> record) {
  const char* fault = CheckTrailer(View(EncodeBlockKey(id)), kBlockMagic, record);
  if (fault == nullptr) return Ok();
  return BlockDamaged(id, fault);
}

}  // namespace cairn
