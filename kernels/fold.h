// Scores of representatives, folded into the blocks that a group of rows chooses together: in plain
// loops, as what the kernel for GPUs is held to. On a CPU, searches fold as they scan (index/).
#pragma once

#include <cstdint>

namespace cairn {

/// The score of a row for a block is the largest of the block's R; lse(r) is the log-sum-exp of a
/// row's scores over all blocks, joined with other_lse[r] if given. Rows fall into groups of
/// `rows_per_group` consecutive ones (the last may be short), and the weight of a block in a group
/// is the largest of its rows' exp(score − lse).
struct FoldParams {
  int32_t partitions = 1;            ///< P
  int32_t rows = 0;                  ///< of a partition
  int32_t rows_per_group = 1;        ///< at least 1
  int32_t blocks = 0;                ///< n
  int32_t representatives = 1;       ///< R
  int32_t k = 0;                     ///< at most n
  const float* scores = nullptr;     ///< [P, rows, n, R], none of them NaN
  const float* other_lse = nullptr;  ///< [P, rows] or null
  float* lse = nullptr;              ///< [P, rows]
  int32_t* chosen = nullptr;         ///< [P, groups, k], heaviest first; ties: lowest ordinal first
  float* log_weights = nullptr;      ///< [P, groups, k]

  int32_t groups() const { return (rows + rows_per_group - 1) / rows_per_group; }
};

void FoldScores(const FoldParams& params);

}  // namespace cairn
