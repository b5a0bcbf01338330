// What a DeviceIndex launches: scores, and scans of all that it has.
#include <algorithm>

#include "base/check.h"
#include "engine/device_index.h"

namespace cairn {

// Codes first, then what is behind them, in pieces of partitions that have as many codes.
Status DeviceIndex::ScoreRange(int32_t first_partition, int32_t partition_count, int64_t begin,
                               int64_t end, const float* queries, int32_t rows, float* scores,
                               int64_t score_stride, CUstream_st* stream) {
  const int64_t stride =
      score_stride == 0 ? (end - begin) * options_.representatives : score_stride;
  for (int32_t p = 0; p < partition_count;) {
    const int32_t first = first_partition + p;
    const int32_t left = partition_count - p;
    const int32_t alike = codes_ == nullptr ? left : codes_->Alike(first, left);
    const int64_t border = std::clamp(coded(first), begin, end);
    const float* const own_queries = queries + int64_t{p} * rows * options_.dim;
    float* const own_scores = scores + int64_t{p} * rows * stride;
    if (begin < border) {
      ScoreCodesParams params = codes_->ParamsOf(first, alike, begin, border);
      params.rows = rows;
      params.queries = own_queries;
      params.scores = own_scores;
      params.score_stride = stride;
      CAIRN_TRY(cuda::ScoreCodes(params, stream));
    }
    if (border < end) {
      CAIRN_TRY(
          cuda::ScoreVectors({.partitions = alike,
                              .rows = rows,
                              .dim = options_.dim,
                              .padded_dim = padded_dim_,
                              .vectors = (end - border) * options_.representatives,
                              .dtype = options_.dtype,
                              .stored = At(first, border),
                              .partition_stride = capacity_ * block_numbers(),
                              .queries = own_queries,
                              .scores = own_scores + (border - begin) * options_.representatives,
                              .score_stride = stride},
                             stream));
    }
    p += alike;
  }
  return Ok();
}

Status DeviceIndex::Score(int32_t first_partition, int32_t partition_count, int64_t begin,
                          int64_t end, const float* queries, int32_t rows, float* scores,
                          int64_t score_stride, DeviceStream& stream) {
  const std::lock_guard lock(mutex_);
  CheckRange(first_partition, partition_count, begin, end);
  return ScoreRange(first_partition, partition_count, begin, end, queries, rows, scores,
                    score_stride, stream.get());
}

void DeviceIndex::CheckRange(int32_t first_partition, int32_t partition_count, int64_t begin,
                             int64_t end) const {
  CAIRN_CHECK(first_partition >= 0 && first_partition + partition_count <= options_.partitions);
  CAIRN_CHECK(begin >= 0 && begin <= end);
  for (int32_t p = first_partition; p < first_partition + partition_count; ++p) {
    CAIRN_CHECK(end <= sizes_[static_cast<size_t>(p)]);
  }
}

// Says what a scan reads of the partitions from `first` on, which have as many codes as that one.
void DeviceIndex::Describe(int32_t first, int64_t begin, int64_t end, ScanParams* params) const {
  const int64_t border = std::clamp(coded(first), begin, end);
  params->representatives = options_.representatives;
  if (begin < border) params->codes = codes_->ParamsOf(first, 1, begin, border);
  params->plain = {.dim = options_.dim,
                   .padded_dim = padded_dim_,
                   .vectors = (end - border) * options_.representatives,
                   .dtype = options_.dtype,
                   .stored = border < end ? At(first, border) : nullptr,
                   .partition_stride = capacity_ * block_numbers()};
}

// Calls work(p, params) for partitions first_partition + p on, in pieces of as many codes.
template <class Work>
Status DeviceIndex::ForAlike(int32_t first_partition, int32_t partition_count, int64_t begin,
                             int64_t end, const ScanParams& params, const Work& work) const {
  for (int32_t p = 0; p < partition_count;) {
    const int32_t first = first_partition + p, left = partition_count - p;
    const int32_t alike = codes_ == nullptr ? left : codes_->Alike(first, left);
    ScanParams piece = params;
    piece.queries.heads = alike;
    Describe(first, begin, end, &piece);
    CAIRN_TRY(work(p, piece));
    p += alike;
  }
  return Ok();
}

std::optional<size_t> DeviceIndex::RoomOfScan(int32_t first_partition, int32_t partition_count,
                                              int64_t begin, int64_t end,
                                              const ScanParams& params) const {
  size_t floats = 0;
  bool takes = true;
  const auto note = [&](int32_t, ScanParams piece) -> Status {
    piece.queries.heads = params.queries.heads;
    takes = takes && cuda::TakesScan(piece);
    if (takes) floats = std::max(floats, cuda::ScanScratchFloats(piece));
    return Ok();
  };
  CAIRN_CHECK(ForAlike(first_partition, partition_count, begin, end, params, note).has_value());
  return takes ? std::optional(floats) : std::nullopt;
}

Status DeviceIndex::ScanRange(int32_t first_partition, int64_t begin, int64_t end,
                              const ScanParams& params, const cuda::DeviceRope* rope,
                              float* scratch, int32_t* arrived, CUstream_st* stream) const {
  const auto scan = [&](int32_t p, ScanParams piece) {
    const int64_t row = int64_t{p} * params.rows(), choice = int64_t{p} * params.k;
    piece.queries.q += int64_t{p} * params.queries.group * options_.dim;
    if (params.near > 0) piece.near_keys += int64_t{p} * params.near * options_.dim;
    if (params.other_lse != nullptr) piece.other_lse += row;
    piece.lse += row;
    piece.chosen += choice;
    piece.log_weights += choice;
    return cuda::ScanLandmarks(piece, rope, scratch, arrived, stream);
  };
  return ForAlike(first_partition, params.partitions(), begin, end, params, scan);
}

std::optional<size_t> DeviceIndex::ScanFloats(int64_t begin, int64_t end,
                                              const ScanParams& params) const {
  const std::lock_guard lock(mutex_);
  return RoomOfScan(0, options_.partitions, begin, end, params);
}

Status DeviceIndex::Scan(int32_t first_partition, int64_t begin, int64_t end,
                         const ScanParams& params, const cuda::DeviceRope& rope, float* scratch,
                         int32_t* arrived, DeviceStream& stream) {
  const std::lock_guard lock(mutex_);
  CheckRange(first_partition, params.partitions(), begin, end);
  return ScanRange(first_partition, begin, end, params, &rope, scratch, arrived, stream.get());
}

}  // namespace cairn
