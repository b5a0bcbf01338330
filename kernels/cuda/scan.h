// ScanLandmarks on a CUDA device, in one launch. Pointers of the parameters are to device memory.
#pragma once

#include <cstddef>

#include "base/error.h"
#include "kernels/cuda/attention.h"
#include "kernels/scan.h"

namespace cairn::cuda {

inline constexpr int32_t kMostScanRows = 8;      // of a partition
inline constexpr int32_t kMostScanChosen = 128;  // blocks

/// Whether the kernel takes it: not more than that, at least one block, vectors of up to 256
/// numbers, and no block whose codes are more than half a chunk where they are long. Otherwise
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
