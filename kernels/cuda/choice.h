// SearchQueries, NearScores and PlaceBlocks on a CUDA device. Pointers of the parameters are to
// device memory, but those of BlockRefs, which are PlacedBlocks there. All launch on the stream and
// return at once; kIo with CUDA's words if a launch failed.
#pragma once

#include "base/error.h"
#include "kernels/choice.h"
#include "kernels/cuda/attention.h"

namespace cairn::cuda {

Status SearchQueries(const SampledQueries& sampled, const DeviceRope& rope, int32_t slot_position,
                     bool bf16, float* queries, int32_t* missing, Stream stream);

Status NearScores(const SampledQueries& sampled, const DeviceRope& rope, int32_t near,
                  int32_t block_rows, const float* keys, float* scores, int64_t score_stride,
                  Stream stream);

/// `params.placed` is not looked at.
Status PlaceBlocks(const PlaceParams& params, PlacedBlock* placed, Stream stream);

/// table[places[i]] = values[i], for i in [0, count); a place comes once.
Status UpdateTable(int32_t count, const int64_t* places, const uint32_t* values, uint32_t* table,
                   Stream stream);

}  // namespace cairn::cuda
