// FoldScores on a CUDA device. Pointers of the parameters are to device memory.
#pragma once

#include <cstddef>

#include "base/error.h"
#include "kernels/cuda/attention.h"
#include "kernels/fold.h"

namespace cairn::cuda {

/// Floats of device memory that a call needs.
size_t FoldScratchFloats(const FoldParams& params);

/// Launches on the stream and returns at once. Up to 65,535 partitions; kIo with CUDA's words if a
/// launch failed.
Status FoldScores(const FoldParams& params, float* scratch, Stream stream);

}  // namespace cairn::cuda
