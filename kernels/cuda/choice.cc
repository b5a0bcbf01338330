#include "kernels/cuda/choice.h"

#include "base/check.h"
#include "kernels/cuda/layout.h"

namespace cairn::cuda {
namespace {

constexpr int32_t kMostBlocksOfThreads = 65535;  // in the second and third dimension of a grid

}  // namespace

Status SearchQueries(const SampledQueries& sampled, const DeviceRope& rope, int32_t slot_position,
                     bool bf16, float* queries, int32_t* missing, Stream stream) {
  if (sampled.rows == 0) return Ok();
  const SearchQueriesArgs args = {
      SampledOf(sampled), RotationOf(rope), slot_position, bf16, queries, missing};
  return Launched("rotating queries", LaunchSearchQueries(args, stream));
}

Status NearScores(const SampledQueries& sampled, const DeviceRope& rope, int32_t near,
                  int32_t block_rows, const float* keys, float* scores, int64_t score_stride,
                  Stream stream) {
  if (sampled.rows == 0 || near == 0) return Ok();
  const NearScoresArgs args = {SampledOf(sampled), RotationOf(rope), near, block_rows, keys, scores,
                               score_stride};
  return Launched("scoring of near blocks", LaunchNearScores(args, stream));
}

Status PlaceBlocks(const PlaceParams& params, PlacedBlock* placed, Stream stream) {
  CAIRN_CHECK(params.heads >= 1 && params.groups <= kMostBlocksOfThreads);
  CAIRN_CHECK(params.sinks <= params.fixed);
  if (params.groups == 0 || params.fixed + params.k == 0) return Ok();
  PlaceArgs args = {};
  args.heads = params.heads;
  args.groups = params.groups;
  args.k = params.k;
  args.fixed = params.fixed;
  args.sinks = params.sinks;
  args.block_rows = params.block_rows;
  args.chosen = params.chosen;
  args.far_begin = params.far_begin;
  args.far_count = params.far_count;
  args.near_begin = params.near_begin;
  args.near_end = params.near_end;
  args.first_slot = params.first_slot;
  args.crowd = params.crowd;
  args.fixed_blocks = params.fixed_blocks;
  args.fixed_slots = params.fixed_slots;
  args.table = params.table;
  args.table_stride = params.table_stride;
  args.slots = params.slots;
  args.slot_bytes = params.slot_bytes;
  args.placed = placed;
  args.counts = params.counts;
  args.ordinals = params.ordinals;
  args.missing = params.missing;
  args.stopped = params.stopped;
  return Launched("placing of blocks", LaunchPlace(args, stream));
}

Status UpdateTable(int32_t count, const int64_t* places, const uint32_t* values, uint32_t* table,
                   Stream stream) {
  if (count == 0) return Ok();
  return Launched("updating a table", LaunchUpdateTable(count, places, values, table, stream));
}

}  // namespace cairn::cuda
