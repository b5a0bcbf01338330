// ScanLandmarks on a CUDA device, in one launch. Pointers of the parameters are to device memory.
#pragma once

#include <cstddef>

#include "base/error.h"
#include "kernels/cuda/attention.h"
#include "kernels/scan.h"

namespace cairn::cuda {

/// Whether the kernel takes it: up to 8 rows of a partition and 128 chosen blocks, at least one
/// block, vectors of up to 256 numbers, and codes of one block in half a chunk. Otherwise
/// ScoreCodes, ScoreVectors, NearScores and FoldScores do it, one behind the other.
bool TakesScan(const ScanParams& params);
/// Floats of device memory to work in.
size_t ScanScratchFloats(const ScanParams& params);

/// `arrived` is [P], all 0; it is 0 again once the launch has run, and serves one at a time.
/// Vectors, codes and scales begin at multiples of 16 bytes. Launches on the stream and returns at
/// once; kIo with CUDA's words if the launch failed.
Status ScanLandmarks(const ScanParams& params, const DeviceRope* rope, float* scratch,
                     int32_t* arrived, Stream stream);

}  // namespace cairn::cuda
