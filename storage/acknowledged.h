// Acknowledged: how far a store's writer was told that its changes are durable.
//
// A power cut tears what was being written; damage takes what was acknowledged. At the end of a log
// the two look alike. This mark, a small file written anew after each acknowledgement, tells them
// apart: what lies behind it may be cut off, what lies before it must be there. It is not synced:
// an older mark is only less strict. docs/format.md has its bytes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"

namespace cairn {

struct Acknowledged {
  uint64_t sequence = 0;        ///< RocksDB's number of the last change
  uint64_t manifest = 0;        ///< number of the manifest in use
  uint64_t manifest_bytes = 0;  ///< the part of it that was synced
  uint64_t log = 0;             ///< number of the log in use
  uint64_t log_bytes = 0;       ///< the part of it that was synced
};

/// Nothing if there is no such file, as in stores made before there were any; zeros if a power cut
/// left an empty one; kCorruption if it is damaged.
Result<std::optional<Acknowledged>> ReadAcknowledged(const std::string& path);

/// Writes the mark in place. That it fails is not told: the mark before it stays valid.
void WriteAcknowledged(const std::string& path, const Acknowledged& mark);

}  // namespace cairn
