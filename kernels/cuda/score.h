// ScoreVectors on a CUDA device. Pointers of the parameters are to device memory.
#pragma once

#include "base/error.h"
#include "kernels/cuda/attention.h"
#include "kernels/score.h"

namespace cairn::cuda {

/// Stored vectors have padded_dim numbers, a multiple of 8 up to 256, and begin at multiples of 16
/// bytes. The score of a vector does not depend on where it lies: equal ones have equal scores.
/// Launches on the stream and returns at once; kUnsupported for other sizes, kIo with CUDA's words
/// if the launch failed.
Status ScoreVectors(const ScoreParams& params, Stream stream);

/// The least padded_dim for vectors of `dim` numbers.
constexpr int32_t PaddedDim(int32_t dim) { return (dim + 7) / 8 * 8; }

}  // namespace cairn::cuda
