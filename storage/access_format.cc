#include "storage/access_format.h"

#include "base/hash.h"
#include "storage/byte_reader.h"

namespace cairn {
namespace {

constexpr uint64_t kKinds = 3;

void AppendVarint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

bool TakeVarint(ByteReader& bytes, uint64_t& value) {
  value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (bytes.left() == 0) return false;
    const auto byte = bytes.Take<uint8_t>();
    value |= static_cast<uint64_t>(byte & 0x7f) << shift;
    if (byte < 0x80) return shift < 63 || byte <= 1;
  }
  return false;
}

/// Small numbers of either sign become small numbers.
uint64_t Zigzag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
int64_t Unzigzag(uint64_t value) { return static_cast<int64_t>((value >> 1) ^ (0 - (value & 1))); }

void AppendId(std::string& body, const BlockId& id, const BlockId& previous) {
  const bool other =
      id.extent != previous.extent || id.layer != previous.layer || id.head != previous.head;
  const int64_t step = static_cast<int64_t>(id.ordinal) - static_cast<int64_t>(previous.ordinal);
  AppendVarint(body, Zigzag(step) << 1 | (other ? 1 : 0));
  if (!other) return;
  AppendVarint(body, Zigzag(static_cast<int64_t>(id.extent - previous.extent)));
  AppendVarint(body, id.layer);
  AppendVarint(body, id.head);
}

/// `id` is the one before, and becomes the next.
bool TakeId(ByteReader& bytes, BlockId& id) {
  uint64_t first = 0;
  if (!TakeVarint(bytes, first) || first >> 1 > UINT64_C(2) * UINT32_MAX) return false;
  const int64_t ordinal = static_cast<int64_t>(id.ordinal) + Unzigzag(first >> 1);
  if (ordinal < 0 || ordinal > UINT32_MAX) return false;
  id.ordinal = static_cast<uint32_t>(ordinal);
  if ((first & 1) == 0) return true;
  uint64_t extent = 0, layer = 0, head = 0;
  if (!TakeVarint(bytes, extent) || !TakeVarint(bytes, layer) || !TakeVarint(bytes, head)) {
    return false;
  }
  if (layer > UINT16_MAX || head > UINT16_MAX) return false;
  id.extent += static_cast<uint64_t>(Unzigzag(extent));
  id.layer = static_cast<uint16_t>(layer);
  id.head = static_cast<uint16_t>(head);
  return true;
}

}  // namespace

std::string TraceHeader() {
  std::string header(kTraceMagic);
  AppendBytes(header, kTraceVersion);
  AppendBytes(header, uint32_t{0});
  return header;
}

std::string TraceEnd(const TraceSource& source) {
  std::string end;
  AppendBytes(end, source.store);
  AppendBytes(end, source.session);
  AppendBytes(end, TraceChecksum(TraceHeader(), end));
  return end;
}

std::string TracePartHead(uint32_t number, size_t body_bytes) {
  std::string head;
  AppendBytes(head, number);
  AppendBytes(head, static_cast<uint32_t>(body_bytes));
  return head;
}

uint64_t TraceChecksum(std::string_view head, std::string_view body) {
  return Hash64(body.data(), body.size(), Hash64(head.data(), head.size()));
}

void AppendAccess(std::string& body, AccessKind kind, std::span<const BlockId> ids,
                  BlockId& previous) {
  AppendVarint(body, static_cast<uint64_t>(ids.size()) << 2 | static_cast<uint64_t>(kind));
  for (const BlockId& id : ids) {
    AppendId(body, id, previous);
    previous = id;
  }
}

bool ParseAccesses(std::string_view body, AccessLog& log) {
  ByteReader bytes(body);
  BlockId id;
  while (bytes.left() > 0) {
    uint64_t head = 0;
    if (!TakeVarint(bytes, head) || (head & 3) >= kKinds || head >> 2 > bytes.left()) return false;
    const auto count = static_cast<size_t>(head >> 2);
    const auto kind = static_cast<AccessKind>(head & 3);
    if (kind != AccessKind::kFetch && count != 1) return false;
    log.events.push_back({kind, log.ids.size(), count});
    for (size_t i = 0; i < count; ++i) {
      if (!TakeId(bytes, id)) return false;
      log.ids.push_back(id);
    }
  }
  return true;
}

}  // namespace cairn
