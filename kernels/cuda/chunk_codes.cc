#include "kernels/cuda/chunk_codes.h"

#include "base/check.h"
#include "kernels/cuda/layout.h"

namespace cairn::cuda {
namespace {

constexpr int32_t kMostDim = 256;
constexpr int32_t kMostRows = 65535 * kScoredRows;

Status CheckSizes(int32_t partitions, int32_t rows, int32_t dim, int32_t chunk_vectors,
                  DType dtype) {
  CAIRN_CHECK(dtype == DType::kF32 || dtype == DType::kBF16);
  CAIRN_CHECK(partitions >= 1 && partitions <= 65535);
  CAIRN_CHECK(chunk_vectors >= 1 && chunk_vectors <= kMostChunkVectors);
  if (dim <= kMostDim && rows <= kMostRows) return Ok();
  return Fail(Errc::kUnsupported,
              "{} codes of {} numbers are not for a CUDA device, which takes up to {}; use the CPU",
              rows, dim, kMostDim);
}

}  // namespace

Status CodeChunk(const CodeParams& params, Stream stream) {
  CAIRN_TRY(CheckSizes(params.partitions, 0, params.dim, params.vectors, params.dtype));
  CAIRN_CHECK(params.padded_dim >= params.dim);
  CAIRN_CHECK(params.kept >= 0 && params.kept <= params.vectors);
  CodeArgs args = {};
  args.partitions = params.partitions;
  args.vectors = params.vectors;
  args.dim = params.dim;
  args.coded_dim = CodedDim(params.dim);
  args.kept = params.kept;
  args.element = static_cast<Element>(params.dtype);
  args.plain = static_cast<const std::byte*>(params.plain);
  args.row_bytes = params.padded_dim * ElementBytes(args.element);
  args.plain_stride = params.plain_stride * ElementBytes(args.element);
  args.codes = params.codes;
  args.code_stride = params.code_stride;
  args.scales = params.scales;
  args.scale_stride = params.scale_stride;
  return Launched("coding of vectors", LaunchCodeChunk(args, stream));
}

Status ScoreCodes(const ScoreCodesParams& params, Stream stream) {
  CAIRN_TRY(
      CheckSizes(params.partitions, params.rows, params.dim, params.chunk_vectors, params.dtype));
  CAIRN_CHECK(params.first >= 0 && params.row_stride() >= params.vectors);
  if (params.rows == 0 || params.vectors == 0) return Ok();
  return Launched("scoring of codes", LaunchScoreCodes(CodesOf(params), stream));
}

}  // namespace cairn::cuda
