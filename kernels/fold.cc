#include "kernels/fold.h"

#include <cmath>
#include <limits>

#include "base/check.h"

namespace cairn {
namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();

// Of row `row`, counted through all partitions.
float BlockScore(const FoldParams& params, int64_t row, int32_t block) {
  const float* scores = params.scores + (row * params.blocks + block) * params.representatives;
  float largest = scores[0];
  for (int32_t i = 1; i < params.representatives; ++i) largest = std::fmax(largest, scores[i]);
  return largest;
}

float LogSumExp(const FoldParams& params, int64_t row) {
  const float other = params.other_lse == nullptr ? kNothing : params.other_lse[row];
  float top = other;
  for (int32_t b = 0; b < params.blocks; ++b) top = std::fmax(top, BlockScore(params, row, b));
  if (top == kNothing) return kNothing;
  float sum = std::exp(other - top);
  for (int32_t b = 0; b < params.blocks; ++b) sum += std::exp(BlockScore(params, row, b) - top);
  return top + std::log(sum);
}

float LogWeight(const FoldParams& params, int64_t first_row, int32_t rows, int32_t block) {
  float largest = kNothing;
  for (int64_t row = first_row; row < first_row + rows; ++row) {
    const float score = BlockScore(params, row, block);
    if (score != kNothing) largest = std::fmax(largest, score - params.lse[row]);
  }
  return largest;
}

// The k heaviest one after the other, each the heaviest of those behind the last.
void Choose(const FoldParams& params, int64_t first_row, int32_t rows, int32_t* chosen,
            float* log_weights) {
  float last_weight = std::numeric_limits<float>::infinity();
  int32_t last = -1;
  for (int32_t i = 0; i < params.k; ++i) {
    float best_weight = kNothing;
    int32_t best = -1;
    for (int32_t b = 0; b < params.blocks; ++b) {
      const float weight = LogWeight(params, first_row, rows, b);
      const bool behind = weight < last_weight || (weight == last_weight && b > last);
      if (behind && (best < 0 || weight > best_weight)) {
        best = b;
        best_weight = weight;
      }
    }
    CAIRN_CHECK(best >= 0);
    chosen[i] = last = best;
    log_weights[i] = last_weight = best_weight;
  }
}

}  // namespace

void FoldScores(const FoldParams& params) {
  CAIRN_CHECK(params.k <= params.blocks && params.rows_per_group >= 1);
  CAIRN_CHECK(params.representatives >= 1);
  for (int64_t row = 0; row < int64_t{params.partitions} * params.rows; ++row) {
    params.lse[row] = LogSumExp(params, row);
  }
  const int32_t groups = params.groups();
  for (int64_t p = 0; p < params.partitions; ++p) {
    for (int32_t g = 0; g < groups; ++g) {
      const int32_t first = g * params.rows_per_group;
      const int32_t left = params.rows - first;
      const int32_t rows = left < params.rows_per_group ? left : params.rows_per_group;
      const int64_t place = (p * groups + g) * params.k;
      Choose(params, p * params.rows + first, rows, params.chosen + place,
             params.log_weights + place);
    }
  }
}

}  // namespace cairn
