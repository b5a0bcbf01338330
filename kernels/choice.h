// What a step on a device does to choose blocks, beside scoring and folding: queries rotated for
// the search, scores of near blocks, and lists of what was chosen, where it lies. In plain loops,
// as what the kernels for GPUs are held to. On a CPU, Selector and StepAttention do this (engine/).
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/attention.h"
#include "kernels/rope.h"

namespace cairn {

/// The rows that a choice looks at: the i-th of S is row first + i·stride of a step's T. The table
/// covers all distances.
struct SampledQueries {
  int32_t heads = 1;                   ///< Hkv
  int32_t group = 1;                   ///< G
  int32_t dim = 0;                     ///< D
  int32_t rows = 0;                    ///< S
  const float* q = nullptr;            ///< [T, Hq, D], un-rotated, rows q_row_stride apart
  int64_t q_row_stride = 0;            ///< elements
  const int32_t* positions = nullptr;  ///< [T]
  int32_t first = 0;
  int32_t stride = 1;
  float scale = 1.0f;
};

/// In a count of blocks that are missing: nothing could be chosen, as queries were no numbers.
inline constexpr int32_t kNoChoice = 1 << 30;

/// `queries` [Hkv, S, G, D]: rotated by their distance from `slot_position`, scaled, and rounded to
/// bf16 if that is wanted. `missing` gets kNoChoice if one holds NaN or infinity.
void SearchQueries(const SampledQueries& sampled, const RopeTable& rope, int32_t slot_position,
                   bool bf16, float* queries, int32_t* missing);

/// Scores of `near` blocks, of which block i stands in slot i + 1: `keys` is [Hkv, near, D];
/// `scores` [Hkv, S·G, near], rows score_stride apart.
void NearScores(const SampledQueries& sampled, const RopeTable& rope, int32_t near,
                int32_t block_rows, const float* keys, float* scores, int64_t score_stride);

/// A slot that no block has.
inline constexpr uint32_t kAbsent = UINT32_MAX;

/// Lists for one layer, a head and a group of rows each: sinks, chosen blocks, recent blocks, by
/// ordinal, in the slots of engine/position_map.h.
struct PlaceParams {
  int32_t heads = 1;  ///< Hkv
  int32_t groups = 1;
  int32_t k = 0;           ///< chosen blocks of a list
  int32_t fixed = 0;       ///< of a list, sinks and recent blocks
  int32_t sinks = 0;       ///< of them, before the chosen ones
  int32_t block_rows = 0;  ///< B
  /// [Hkv, groups, k] candidates in any order, −1 for none; null: all k of them. Candidate c is
  /// block far_begin + c, from far_count on block near_begin + c − far_count.
  const int32_t* chosen = nullptr;
  int32_t far_begin = 0, far_count = 0, near_begin = 0, near_end = 0;
  int32_t first_slot = 0, crowd = 0;      ///< as in StepPlan
  const int32_t* fixed_blocks = nullptr;  ///< [fixed], ascending
  const int32_t* fixed_slots = nullptr;   ///< [fixed]
  const uint32_t* table = nullptr;        ///< [Hkv, …]: by ordinal, the slot where a block lies
  int64_t table_stride = 0;
  const std::byte* slots = nullptr;  ///< slots of slot_bytes each
  int64_t slot_bytes = 0;

  BlockRef* placed = nullptr;   ///< [groups, Hkv, fixed + k]
  int32_t* counts = nullptr;    ///< [groups, Hkv]: fixed + k, or 0 if one is absent
  int32_t* ordinals = nullptr;  ///< [groups, Hkv, fixed + k]; −1 for what was not chosen
  int32_t* missing = nullptr;  ///< grows by one for each absent block, and gets kNoChoice for a −1
  int32_t* stopped = nullptr;  ///< becomes 1 if one is absent
};

void PlaceBlocks(const PlaceParams& params);

}  // namespace cairn
