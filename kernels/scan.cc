#include "kernels/scan.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "kernels/fold.h"

namespace cairn {
namespace {

// [P, S·G, D]
std::vector<float> QueriesOf(const ScanParams& params, const RopeTable* rope) {
  const SampledQueries& sampled = params.queries;
  std::vector<float> queries(static_cast<size_t>(params.partitions()) * params.rows() *
                             static_cast<size_t>(sampled.dim));
  if (rope != nullptr) {
    SearchQueries(sampled, *rope, params.slot_position, params.bf16, queries.data(),
                  params.missing);
    for (float& number : queries) number = std::isfinite(number) ? number : 0.0f;  // noticed
    return queries;
  }
  float* target = queries.data();
  for (int32_t head = 0; head < sampled.heads; ++head) {
    for (int32_t i = 0; i < sampled.rows; ++i) {
      const float* row = sampled.q + (sampled.first + i * sampled.stride) * sampled.q_row_stride;
      const int64_t first = int64_t{head} * sampled.group * sampled.dim;
      target = std::copy_n(row + first, int64_t{sampled.group} * sampled.dim, target);
    }
  }
  return queries;
}

}  // namespace

void ScanLandmarks(const ScanParams& params, const RopeTable* rope) {
  CAIRN_CHECK(params.near == 0 || (rope != nullptr && params.representatives == 1));
  const std::vector<float> queries = QueriesOf(params, rope);
  const int64_t columns = params.codes.vectors + params.plain.vectors + params.near;
  std::vector<float> scores(queries.size() / static_cast<size_t>(params.queries.dim) *
                            static_cast<size_t>(columns));
  if (params.codes.vectors > 0) {
    ScoreCodesParams codes = params.codes;
    codes.partitions = params.partitions();
    codes.rows = params.rows();
    codes.queries = queries.data();
    codes.scores = scores.data();
    codes.score_stride = columns;
    ScoreCodes(codes);
  }
  if (params.plain.vectors > 0) {
    ScoreParams plain = params.plain;
    plain.partitions = params.partitions();
    plain.rows = params.rows();
    plain.queries = queries.data();
    plain.scores = scores.data() + params.codes.vectors;
    plain.score_stride = columns;
    ScoreVectors(plain);
  }
  if (params.near > 0) {
    NearScores(params.queries, *rope, params.near, params.block_rows, params.near_keys,
               scores.data() + columns - params.near, columns);
  }
  FoldScores({.partitions = params.partitions(),
              .rows = params.rows(),
              .rows_per_group = std::max(params.rows(), 1),
              .blocks = params.blocks(),
              .representatives = params.representatives,
              .k = params.k,
              .scores = scores.data(),
              .other_lse = params.other_lse,
              .lse = params.lse,
              .chosen = params.chosen,
              .log_weights = params.log_weights});
}

}  // namespace cairn
