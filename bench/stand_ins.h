// StandIns: the blocks of one layer and KV head of a recording, and what may stand for them.
#pragma once

#include <cstdint>
#include <vector>

#include "bench/recall_bench.h"
#include "bench/recording.h"

namespace cairn {

class StandIns {
 public:
  StandIns(const Recording& recording, size_t layer, int32_t head, int32_t block_rows);

  int32_t block_rows() const { return block_rows_; }
  /// Keys rotated by their offset in their block, [complete blocks · B, D].
  const float* keys() const { return keys_.data(); }
  /// Whether a row is attended as a token: landmarks are not.
  bool counts(int64_t row) const { return !landmark_ || row % block_rows_ != block_rows_ - 1; }
  /// How many vectors of D stand for a block.
  static int32_t Floats(StandIn method, int32_t block_rows);
  /// Scores [rows, blocks] of the first `blocks` blocks for queries [rows, D].
  std::vector<float> Scores(StandIn method, const float* queries, int64_t rows,
                            int64_t blocks) const;

 private:
  std::vector<float> Products(const std::vector<float>& vectors, const float* queries, int64_t rows,
                              int64_t count, int64_t dim) const;

  const int32_t block_rows_;
  const int32_t dim_;
  const bool landmark_;
  std::vector<float> keys_;
  std::vector<float> means_;      // [n, D]
  std::vector<float> sub_means_;  // [n, R, D]
  std::vector<float> spread_;     // [n, 2D]: mean, then half the variance
  std::vector<float> bounds_;     // [n, 2D]: largest, then least
  std::vector<float> landmarks_;  // [n, D]
};

}  // namespace cairn
