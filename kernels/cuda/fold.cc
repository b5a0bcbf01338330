#include "kernels/cuda/fold.h"

#include "base/check.h"
#include "kernels/cuda/layout.h"

namespace cairn::cuda {

size_t FoldScratchFloats(const FoldParams& params) {
  return static_cast<size_t>(int64_t{params.partitions} * params.groups() * params.blocks);
}

Status FoldScores(const FoldParams& params, float* scratch, Stream stream) {
  CAIRN_CHECK(params.partitions >= 1 && params.partitions <= 65535);
  CAIRN_CHECK(params.k <= params.blocks && params.rows_per_group >= 1);
  CAIRN_CHECK(params.representatives >= 1);
  if (params.rows == 0) return Ok();
  FoldArgs args = {};
  args.partitions = params.partitions;
  args.rows = params.rows;
  args.rows_per_group = params.rows_per_group;
  args.blocks = params.blocks;
  args.representatives = params.representatives;
  args.k = params.k;
  args.scores = params.scores;
  args.other_lse = params.other_lse;
  args.lse = params.lse;
  args.chosen = params.chosen;
  args.log_weights = params.log_weights;
  args.weights = scratch;
  return Launched("folding of scores", LaunchFold(args, stream));
}

}  // namespace cairn::cuda
