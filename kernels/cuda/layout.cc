#include "kernels/cuda/layout.h"

#include "base/check.h"

namespace cairn::cuda {
namespace {

constexpr int32_t kMostRows = 1024;
constexpr int32_t kMostHeadDim = 256;

template <Element kElement, DType kType>
constexpr bool kSame = static_cast<int>(kElement) == static_cast<int>(kType) &&
                       ElementBytes(kElement) == static_cast<int64_t>(DTypeBytes(kType));
static_assert(kSame<Element::kF32, DType::kF32> && kSame<Element::kF16, DType::kF16> &&
              kSame<Element::kBF16, DType::kBF16> && kSame<Element::kQ8, DType::kQ8>);

}  // namespace

Status CheckShape(const BlockShape& shape) {
  const int32_t dim = shape.head_dim;
  if (dim < 2 || dim > kMostHeadDim || dim % 2 != 0) {
    return Fail(Errc::kUnsupported,
                "heads of {} numbers are not for CUDA kernels, which take even sizes up to {}; use "
                "the CPU",
                dim, kMostHeadDim);
  }
  if (shape.block_rows < 1 || shape.block_rows > kMostRows) {
    return Fail(Errc::kUnsupported,
                "blocks of {} rows are not for CUDA kernels, which take up to {}; use smaller ones",
                shape.block_rows, kMostRows);
  }
  return Ok();
}

Layout LayoutOf(const BlockShape& shape) {
  return {shape.block_rows,
          shape.head_dim,
          static_cast<Element>(shape.dtype),
          static_cast<int64_t>(shape.row_bytes()),
          static_cast<int64_t>(shape.value_offset(0)),
          static_cast<int64_t>(shape.scales_offset())};
}

Rotation RotationOf(const DeviceRope& rope) {
  return {rope.table, rope.positions, rope.style == RopeStyle::kInterleaved};
}

Sampled SampledOf(const SampledQueries& sampled) {
  CAIRN_CHECK(sampled.heads * sampled.group <= 65535);  // blocks of threads in a grid
  return {sampled.heads,        sampled.group,     sampled.dim,   sampled.rows,   sampled.q,
          sampled.q_row_stride, sampled.positions, sampled.first, sampled.stride, sampled.scale};
}

ScoreArgs VectorsOf(const ScoreParams& params) {
  ScoreArgs args = {};
  args.partitions = params.partitions;
  args.rows = params.rows;
  args.dim = params.dim;
  args.padded_dim = params.padded_dim;
  args.vectors = params.vectors;
  args.element = static_cast<Element>(params.dtype);
  args.stored = static_cast<const std::byte*>(params.stored);
  args.partition_stride = params.partition_stride;
  args.queries = params.queries;
  args.scores = params.scores;
  args.score_stride = params.row_stride();
  return args;
}

ScoreCodesArgs CodesOf(const ScoreCodesParams& params) {
  CAIRN_CHECK(params.first >= 0 && params.vectors > 0);
  const int64_t first_chunk = params.first / params.chunk_vectors;
  const int64_t last_chunk = (params.first + params.vectors - 1) / params.chunk_vectors;
  ScoreCodesArgs args = {};
  args.partitions = params.partitions;
  args.rows = params.rows;
  args.dim = params.dim;
  args.coded_dim = CodedDim(params.dim);
  args.chunks = static_cast<int32_t>(last_chunk - first_chunk + 1);
  args.chunk_vectors = params.chunk_vectors;
  args.first = static_cast<int32_t>(params.first % params.chunk_vectors);
  args.vectors = params.vectors;
  args.element = static_cast<Element>(params.dtype);
  args.units = kQueryUnits;
  args.no_query = kNoQuery;
  args.codes = params.codes + first_chunk * params.chunk_vectors * args.coded_dim;
  args.code_stride = params.code_stride;
  args.scales = params.scales + first_chunk * 2 * args.coded_dim;
  args.scale_stride = params.scale_stride;
  args.queries = params.queries;
  args.scores = params.scores;
  args.score_stride = params.row_stride();
  return args;
}

Status Launched(const char* what, const char* error) {
  if (error == nullptr) return Ok();
  return Fail(Errc::kIo, "{} failed on the CUDA device: {}", what, error);
}

}  // namespace cairn::cuda
