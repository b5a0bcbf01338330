// ScanLandmarks: the landmarks of a past scored for a few rows of queries, and the blocks that
// these choose together: in plain loops, as what the kernel for GPUs is held to, which is one. On a
// CPU, Selector does this (engine/).
#pragma once

#include <cstdint>

#include "kernels/choice.h"
#include "kernels/chunk_codes.h"
#include "kernels/score.h"

namespace cairn {

/// Candidates are far blocks, of R vectors each, of which the first are codes, and then near ones,
/// of a key each. Rows of a KV head are one group of FoldScores.
struct ScanParams {
  SampledQueries queries;       ///< S·G rows of each of P = Hkv partitions
  int32_t slot_position = 0;    ///< of far blocks
  bool bf16 = true;             ///< queries are rounded for them
  int32_t representatives = 1;  ///< R; 1 if there are near blocks
  /// Without rows, queries and scores. R divides what is scored, where it begins, and chunks.
  ScoreCodesParams codes;
  ScoreParams plain;
  int32_t near = 0;                  ///< near blocks, of which block i stands in slot i + 1
  int32_t block_rows = 0;            ///< B
  const float* near_keys = nullptr;  ///< [P, near, D]
  int32_t k = 0;                     ///< at most blocks()
  const float* other_lse = nullptr;  ///< [P, S·G], of what is no candidate, or null
  /// On a device, where it can: codes and vectors are asked for while what was launched before it
  /// on the stream still runs. That must not write them, nor may anything write them that was not
  /// waited for before that was launched.
  bool overlaps = false;

  float* lse = nullptr;          ///< [P, S·G]
  int32_t* chosen = nullptr;     ///< [P, k] candidates, heaviest first; ties: lowest first
  float* log_weights = nullptr;  ///< [P, k]
  /// Gets kNoChoice if a rotated query holds NaN or infinity. What is chosen then are candidates
  /// all the same, but any.
  int32_t* missing = nullptr;

  int32_t partitions() const { return queries.heads; }
  int32_t rows() const { return queries.rows * queries.group; }
  int32_t coded() const { return static_cast<int32_t>(codes.vectors / representatives); }
  int32_t far() const { return coded() + static_cast<int32_t>(plain.vectors / representatives); }
  int32_t blocks() const { return far() + near; }
};

/// Without `rope` queries are taken as they are, and there are no near blocks; slot_position, bf16,
/// positions, scale and missing are not looked at then.
void ScanLandmarks(const ScanParams& params, const RopeTable* rope);

}  // namespace cairn
