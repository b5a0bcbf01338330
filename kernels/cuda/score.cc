#include "kernels/cuda/score.h"

#include "base/check.h"
#include "kernels/cuda/layout.h"

namespace cairn::cuda {
namespace {

constexpr int32_t kMostDim = 256;
constexpr int32_t kMostRows = 65535 * kScoredRows;

}  // namespace

Status ScoreVectors(const ScoreParams& params, Stream stream) {
  CAIRN_CHECK(params.dtype == DType::kF32 || params.dtype == DType::kBF16);
  CAIRN_CHECK(params.padded_dim % 8 == 0 && params.padded_dim >= params.dim);
  CAIRN_CHECK(params.partitions >= 1 && params.partitions <= 65535);
  CAIRN_CHECK(params.row_stride() >= params.vectors);
  if (params.padded_dim > kMostDim || params.rows > kMostRows) {
    return Fail(Errc::kUnsupported,
                "{} vectors of {} numbers are not for a CUDA device, which takes up to {}; use the "
                "CPU",
                params.rows, params.dim, kMostDim);
  }
  if (params.rows == 0 || params.vectors == 0) return Ok();
  return Launched("scoring of vectors", LaunchScore(VectorsOf(params), stream));
}

}  // namespace cairn::cuda
