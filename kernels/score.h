// Scores of stored vectors for rows of queries, in plain loops, as what the kernel for GPUs is held
// to. On a CPU, searches score as they scan (index/).
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace cairn {

struct ScoreParams {
  int32_t partitions = 1;          ///< P
  int32_t rows = 0;                ///< of a partition
  int32_t dim = 0;                 ///< D
  int32_t padded_dim = 0;          ///< numbers of a stored vector: D and zeros
  int64_t vectors = 0;             ///< n
  DType dtype = DType::kBF16;      ///< of stored vectors: kF32 or kBF16
  const void* stored = nullptr;    ///< [P, …, padded_dim]
  int64_t partition_stride = 0;    ///< numbers from one partition's first vector to the next one's
  const float* queries = nullptr;  ///< [P, rows, D]
  float* scores = nullptr;         ///< [P, rows, n]: inner products
  int64_t score_stride = 0;        ///< from a row's first to the next one's; 0: n

  int64_t row_stride() const { return score_stride == 0 ? vectors : score_stride; }
};

void ScoreVectors(const ScoreParams& params);

}  // namespace cairn
