#include "kernels/cuda/scan.h"

#include <algorithm>

#include "base/check.h"
#include "kernels/cuda/chunk_codes.h"
#include "kernels/cuda/layout.h"
#include "kernels/cuda/score.h"

namespace cairn::cuda {
namespace {

constexpr int32_t kMostDim = 256;
constexpr int32_t kMostQueryHeads = 65535;

static_assert(kMostScanRows == kScoredRows);

constexpr int32_t Parts(int32_t count, int32_t each) { return (count + each - 1) / each; }

Element ElementOf(const ScanParams& params) {
  const bool codes = params.codes.vectors > 0;
  return static_cast<Element>(codes ? params.codes.dtype : params.plain.dtype);
}

/// How candidates fall into runs of blocks of threads, and these into subs.
void PlanRuns(const ScanParams& params, ScanArgs* args) {
  const int32_t r = params.representatives, dim = params.queries.dim;
  args->element = ElementOf(params);
  if (params.codes.vectors > 0) {
    const int64_t first = params.codes.first % params.codes.chunk_vectors;
    const auto chunks =
        static_cast<int32_t>((first + params.codes.vectors - 1) / params.codes.chunk_vectors + 1);
    const int32_t chunk_blocks = params.codes.chunk_vectors / r;
    args->code_run_blocks = std::min(chunk_blocks, CodeRunVectors(args->element, dim) / r);
    args->code_parts = Parts(chunk_blocks, args->code_run_blocks);
    args->code_runs = chunks * args->code_parts;
    args->code_subs = Parts(args->code_run_blocks, kSubBlocks);
  }
  if (params.plain.vectors > 0) {
    const int32_t run = VectorRunVectors(args->element, dim);
    args->plain_run_blocks = std::max(1, run / r);
    args->plain_passes = Parts(args->plain_run_blocks * r, run);
    args->plain_runs = Parts(params.far() - params.coded(), args->plain_run_blocks);
    args->plain_subs = Parts(args->plain_run_blocks, kSubBlocks);
  }
  args->near_runs = Parts(params.near, kSubBlocks);
  args->subs =
      args->code_runs * args->code_subs + args->plain_runs * args->plain_subs + args->near_runs;
}

int64_t ScoreFloats(const ScanParams& params, int32_t subs) {
  return int64_t{params.partitions()} * params.rows() * subs * kSubBlocks;
}

}  // namespace

bool TakesScan(const ScanParams& params) {
  const int32_t r = params.representatives;
  return params.rows() >= 1 && params.rows() <= kMostScanRows && params.k <= kMostScanChosen &&
         params.blocks() >= 1 && params.queries.dim <= kMostDim &&
         int64_t{params.partitions()} * params.queries.group <= kMostQueryHeads &&
         r <= kMostScanned &&
         (params.codes.vectors == 0 || r <= CodeRunVectors(ElementOf(params), params.queries.dim));
}

size_t ScanScratchFloats(const ScanParams& params) {
  ScanArgs args = {};
  PlanRuns(params, &args);
  const int64_t parts = 2 * int64_t{params.partitions()} * params.rows() * args.subs;
  return static_cast<size_t>(ScoreFloats(params, args.subs) + parts);
}

Status ScanLandmarks(const ScanParams& params, const DeviceRope* rope, float* scratch,
                     int32_t* arrived, Stream stream) {
  CAIRN_CHECK(TakesScan(params) && params.k <= params.blocks());
  CAIRN_CHECK(params.near == 0 || (rope != nullptr && params.representatives == 1));
  CAIRN_CHECK(params.codes.vectors == 0 || params.plain.vectors == 0 ||
              params.codes.dtype == params.plain.dtype);
  CAIRN_CHECK(params.codes.vectors == 0 || params.codes.dim == params.queries.dim);
  CAIRN_CHECK(params.plain.vectors == 0 || params.plain.dim == params.queries.dim);
  ScanArgs args = {};
  PlanRuns(params, &args);
  args.sampled = SampledOf(params.queries);
  if (rope != nullptr) args.rotation = RotationOf(*rope);
  args.slot_position = params.slot_position;
  args.bf16 = params.bf16;
  args.missing = params.missing;
  args.partitions = params.partitions();
  args.rows = params.rows();
  args.representatives = params.representatives;
  if (params.codes.vectors > 0) args.codes = CodesOf(params.codes);
  args.plain = VectorsOf(params.plain);
  args.coded = params.coded();
  args.far = params.far();
  args.near = params.near;
  args.block_rows = params.block_rows;
  args.near_keys = params.near_keys;
  args.k = params.k;
  args.other_lse = params.other_lse;
  args.lse = params.lse;
  args.chosen = params.chosen;
  args.log_weights = params.log_weights;
  args.scores = scratch;
  args.parts = scratch + ScoreFloats(params, args.subs);
  args.arrived = arrived;
  return Launched("scan of landmarks", LaunchScan(args, params.overlaps, stream));
}

}  // namespace cairn::cuda
