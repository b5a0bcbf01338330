// The hash chain over a session's sealed payloads, which its digest covers: each block's hash goes
// into the next link, so the chain of a beginning of a session is not known from that of all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "storage/block_scan.h"

namespace cairn {

/// The chain after one more block, whose payloads `block` has hashed, by layer and head.
std::string NextChain(const std::string& chain, const Hasher& block);

/// The chain after the blocks whose payloads `payloads` has, by block, layer and head.
std::string ExtendChain(std::string chain, const BlockGrid& grid,
                        std::span<const std::byte> payloads);

/// Sees how many blocks were read and how many there are; an error of its own ends the reading.
using BlockWatch = FunctionRef<Status(uint64_t done, uint64_t total)>;

/// The chain over the blocks of `ranges`, all of which it reads and checks.
Result<std::string> ReadChain(ColdStore& cold, const BlockGrid& grid,
                              const std::vector<ExtentRange>& ranges, BlockWatch watch);

}  // namespace cairn
