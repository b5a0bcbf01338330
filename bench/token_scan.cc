#include "bench/token_scan.h"

#include <algorithm>
#include <random>
#include <vector>

#include "kernels/cuda/chunk_codes.h"

namespace cairn {

int64_t TokenScan::chunks() const {
  return (blocks() + cuda::kMostChunkVectors - 1) / cuda::kMostChunkVectors;
}

int64_t TokenScan::head_codes() const {
  return chunks() * cuda::kMostChunkVectors * CodedDim(shape_.block.head_dim);
}

int64_t TokenScan::head_scales() const { return chunks() * 2 * CodedDim(shape_.block.head_dim); }

Status TokenScan::Open(const PinnedBuffer& numbers) {
  Device& device = rig_.device();
  const auto heads = static_cast<size_t>(shape_.kv_heads);
  const auto rows = heads * static_cast<size_t>(shape_.group);
  const auto dim = static_cast<size_t>(shape_.block.head_dim);
  const size_t all_heads = heads * static_cast<size_t>(shape_.layers);
  const size_t landmark_bytes = all_heads * static_cast<size_t>(blocks()) * dim * sizeof(uint16_t);
  CAIRN_TRY(landmarks_, device.Allocate(landmark_bytes));
  CAIRN_TRY(codes_, device.Allocate(all_heads * static_cast<size_t>(head_codes())));
  CAIRN_TRY(rig_.Fill(landmarks_, numbers));
  CAIRN_TRY(rig_.Fill(codes_, numbers));
  const size_t scales = all_heads * static_cast<size_t>(head_scales());
  CAIRN_TRY(scales_, rig_.Put(std::vector<float>(scales, 0.1f)));
  CAIRN_TRY(queries_, rig_.Put(NormalNumbers(rows * dim, 1)));
  CAIRN_TRY(rope_, rig_.Put(TokenRope(shape_.block.head_dim)));
  CAIRN_TRY(positions_, rig_.Put(std::vector<int32_t>{kTokenPosition}));
  CAIRN_TRY(missing_, rig_.Put(std::vector<int32_t>{0}));
  CAIRN_TRY(arrived_, rig_.Put(std::vector<int32_t>(heads, 0)));
  CAIRN_TRY(lse_, device.Allocate(rows * sizeof(float)));
  const size_t choices = heads * static_cast<size_t>(shape_.retrieve) * sizeof(float);
  CAIRN_TRY(chosen_, device.Allocate(choices));
  CAIRN_TRY(log_weights_, device.Allocate(choices));
  CAIRN_TRY(scores_, device.Allocate(rows * static_cast<size_t>(blocks()) * sizeof(float)));
  const size_t scratch =
      std::max({cuda::FoldScratchFloats(Fold()), cuda::ScanScratchFloats(ScanOf(0, true)),
                cuda::ScanScratchFloats(ScanOf(0, false))});
  CAIRN_TRY(scratch_, device.Allocate(scratch * sizeof(float)));
  return Ok();
}

// A layer's landmarks, as they came or as codes, with what a decode step asks of them.
ScanParams TokenScan::ScanOf(int32_t layer, bool coded) const {
  const int32_t dim = shape_.block.head_dim;
  ScanParams scan;
  scan.queries = {.heads = shape_.kv_heads,
                  .group = shape_.group,
                  .dim = dim,
                  .rows = 1,
                  .q = As<float>(queries_),
                  .positions = As<int32_t>(positions_)};
  if (coded) scan.codes = CodesOf(layer);
  scan.plain = {.dim = dim,
                .padded_dim = dim,
                .vectors = coded ? 0 : blocks(),
                .dtype = DType::kBF16,
                .stored = As<uint16_t>(landmarks_) + layer * shape_.kv_heads * blocks() * dim,
                .partition_stride = blocks() * dim};
  scan.k = shape_.retrieve;
  scan.lse = As<float>(lse_);
  scan.chosen = As<int32_t>(chosen_);
  scan.log_weights = As<float>(log_weights_);
  scan.missing = As<int32_t>(missing_);
  return scan;
}

Status TokenScan::Put(int32_t layer, bool coded, bool overlaps) {
  const cuda::DeviceRope rope = {As<float>(rope_), kTokenPosition + 1, RopeStyle::kHalfSplit};
  ScanParams scan = ScanOf(layer, coded);
  scan.overlaps = overlaps;
  return cuda::ScanLandmarks(scan, &rope, As<float>(scratch_), As<int32_t>(arrived_),
                             rig_.stream().get());
}

ScoreCodesParams TokenScan::CodesOf(int32_t layer) const {
  const int64_t first = int64_t{layer} * shape_.kv_heads;
  return {.partitions = shape_.kv_heads,
          .rows = shape_.group,
          .dim = shape_.block.head_dim,
          .chunk_vectors = cuda::kMostChunkVectors,
          .vectors = blocks(),
          .codes = As<int8_t>(codes_) + first * head_codes(),
          .code_stride = head_codes(),
          .scales = As<float>(scales_) + first * head_scales(),
          .scale_stride = head_scales(),
          .queries = As<float>(queries_),
          .scores = As<float>(scores_)};
}

FoldParams TokenScan::Fold() const {
  return {.partitions = shape_.kv_heads,
          .rows = shape_.group,
          .rows_per_group = shape_.group,
          .blocks = static_cast<int32_t>(blocks()),
          .representatives = 1,
          .k = shape_.retrieve,
          .scores = As<float>(scores_),
          .other_lse = nullptr,
          .lse = As<float>(lse_),
          .chosen = As<int32_t>(chosen_),
          .log_weights = As<float>(log_weights_)};
}

Status TokenScan::PutApart(int32_t layer) {
  CAIRN_TRY(cuda::ScoreCodes(CodesOf(layer), rig_.stream().get()));
  return cuda::FoldScores(Fold(), As<float>(scratch_), rig_.stream().get());
}

}  // namespace cairn
