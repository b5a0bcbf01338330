// The form of RocksDB's logs (write-ahead log and manifest), as far as finding where one is torn
// needs it. Part of RocksRecovery.
//
// A log is a row of blocks of 32 KiB. A record is one fragment, or several in successive blocks:
//   u32 checksum | u16 length | u8 type | bytes      (little-endian; the checksum is a masked
//   CRC32C
// of type and bytes). A fragment does not cross a block; fewer than 7 bytes at a block's end are
// left out.
#pragma once

#include <cstdint>
#include <string_view>

namespace cairn {

/// How many bytes of `log` are whole records, from the start to the first that is not. All of them
/// if it has fragments of a type that is not known here.
uint64_t SoundBytes(std::string_view log);

}  // namespace cairn
