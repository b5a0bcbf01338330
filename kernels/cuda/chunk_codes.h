// CodeChunk and ScoreCodes on a CUDA device. Pointers of the parameters are to device memory.
// Vectors as they came begin at multiples of 16 bytes, as do codes and scales.
#pragma once

#include "base/error.h"
#include "kernels/chunk_codes.h"
#include "kernels/cuda/attention.h"

namespace cairn::cuda {

/// Vectors of a chunk, at most.
inline constexpr int32_t kMostChunkVectors = 256;

/// The bytes that CodeChunk gives on the CPU. Launches on the stream and returns at once;
/// kUnsupported for vectors of more than 256 numbers, kIo with CUDA's words if the launch failed.
Status CodeChunk(const CodeParams& params, Stream stream);

/// Sums of codes are exact: products are those of whole numbers, on tensor cores. Up to 65,535
/// partitions. Otherwise as CodeChunk.
Status ScoreCodes(const ScoreCodesParams& params, Stream stream);

}  // namespace cairn::cuda
