// The ladder's cases that no tier is asked for: the arithmetic and look-ups of a retrieval, for one
// layer of one token of a model with 9 query heads on 3 KV heads and D = 64.
#pragma once

#include <cstdint>
#include <memory>

#include "bench/ladder_turn.h"

namespace cairn {

/// Walks over ids as the other steps do, and does nothing with them: what the ladder itself costs.
std::unique_ptr<LadderCase> MakeEmptyStep(LadderKey key);
/// Rotates the query heads of one token in 30 layers.
std::unique_ptr<LadderCase> MakeRotation(LadderKey key);
/// Searches `blocks` landmarks of each of the KV heads for the 8 heaviest.
Result<std::unique_ptr<LadderCase>> MakeSearch(LadderKey key, int64_t blocks);
/// Finds and touches key.batch blocks in a table of 32,768 slots.
std::unique_ptr<LadderCase> MakeLookUp(LadderKey key);
/// Verifies key.batch records.
std::unique_ptr<LadderCase> MakeChecksum(LadderKey key);
/// Copies key.batch payloads from one part of memory to another.
std::unique_ptr<LadderCase> MakeCopy(LadderKey key);
/// Attends to key.batch blocks of f16 keys and values with the three query heads of one KV head,
/// plain softmax.
std::unique_ptr<LadderCase> MakeAttention(LadderKey key);

}  // namespace cairn
