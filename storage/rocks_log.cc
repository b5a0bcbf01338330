#include "storage/rocks_log.h"

#include <array>
#include <cstring>

namespace cairn {
namespace {

constexpr uint64_t kLogBlockBytes = 32 << 10;
constexpr uint64_t kHeaderBytes = 7;
enum FragmentType : uint8_t { kZero, kFull, kFirst, kMiddle, kLast };

constexpr std::array<uint32_t, 256> kCrcTable = [] {
  constexpr uint32_t kCastagnoli = 0x82f63b78;
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kCastagnoli : 0);
    table[i] = crc;
  }
  return table;
}();

uint32_t AddByTable(uint32_t crc, std::string_view bytes) {
  for (const char c : bytes) crc = (crc >> 8) ^ kCrcTable[(crc ^ static_cast<uint8_t>(c)) & 0xff];
  return crc;
}

#if defined(__x86_64__)
/// The instruction for this very polynomial, 20 times as fast: a store that is opened has its logs
/// checked first, and they hold up to 64 MiB.
__attribute__((target("sse4.2"))) uint32_t AddByInstruction(uint32_t crc, std::string_view bytes) {
  uint64_t wide = crc;
  for (; bytes.size() >= sizeof(uint64_t); bytes.remove_prefix(sizeof(uint64_t))) {
    uint64_t word;
    std::memcpy(&word, bytes.data(), sizeof word);
    wide = __builtin_ia32_crc32di(wide, word);
  }
  crc = static_cast<uint32_t>(wide);
  for (const char c : bytes) crc = __builtin_ia32_crc32qi(crc, static_cast<uint8_t>(c));
  return crc;
}
#endif

uint32_t Add(uint32_t crc, std::string_view bytes) {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return AddByInstruction(crc, bytes);
#endif
  return AddByTable(crc, bytes);
}

uint32_t MaskedCrc(std::string_view bytes) {
  const uint32_t crc = ~Add(~0u, bytes);
  return ((crc >> 15) | (crc << 17)) + 0xa282ead8u;
}

uint32_t Byte(std::string_view bytes, uint64_t at) { return static_cast<uint8_t>(bytes[at]); }

}  // namespace

uint64_t SoundBytes(std::string_view log) {
  uint64_t sound = 0;
  bool inside = false;  // a record of several fragments
  for (uint64_t at = 0;;) {
    const uint64_t block_left = kLogBlockBytes - at % kLogBlockBytes;
    if (block_left < kHeaderBytes) {
      at += block_left;
      if (at >= log.size()) return inside ? sound : log.size();
      continue;
    }
    if (at == log.size() && !inside) return at;
    if (at + kHeaderBytes > log.size()) return sound;
    const uint32_t checksum =
        Byte(log, at) | Byte(log, at + 1) << 8 | Byte(log, at + 2) << 16 | Byte(log, at + 3) << 24;
    const uint64_t bytes = kHeaderBytes + (Byte(log, at + 4) | Byte(log, at + 5) << 8);
    const uint32_t type = Byte(log, at + 6);
    if (type == kZero || bytes > block_left || at + bytes > log.size()) return sound;
    if (MaskedCrc(log.substr(at + 6, bytes - 6)) != checksum) return sound;
    if (type > kLast) return log.size();
    const bool continues = type == kMiddle || type == kLast;
    if (continues != inside) return sound;
    at += bytes;
    inside = type == kFirst || type == kMiddle;
    if (!inside) sound = at;
  }
}

}  // namespace cairn
