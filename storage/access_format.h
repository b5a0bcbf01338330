// The bytes of a trace file, as docs/format.md has them. Private to AccessTrace and its reader.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "storage/access_trace.h"
#include "storage/block_id.h"

namespace cairn {

inline constexpr std::string_view kTraceMagic = "CAIRNTRC";
inline constexpr size_t kTraceHeaderBytes = 16;
inline constexpr size_t kTracePartHeadBytes = 8;

std::string TraceHeader();
/// What stands behind the end part, with its checksum.
std::string TraceEnd(const TraceSource& source);
std::string TracePartHead(uint32_t number, size_t body_bytes);
uint64_t TraceChecksum(std::string_view head, std::string_view body);

/// Appends one event; `previous` is the id before it in its part, and becomes the last one.
void AppendAccess(std::string& body, AccessKind kind, std::span<const BlockId> ids,
                  BlockId& previous);
/// Appends the events of a part's body to `log`; false if they are not what AppendAccess writes.
bool ParseAccesses(std::string_view body, AccessLog& log);

}  // namespace cairn
