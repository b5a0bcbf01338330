// From the types of the CPU's kernels to what CUDA kernels are given. Internal to kernels/cuda/.
#pragma once

#include "base/error.h"
#include "kernels/block_shape.h"
#include "kernels/choice.h"
#include "kernels/chunk_codes.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/launch.h"
#include "kernels/score.h"

namespace cairn::cuda {

Layout LayoutOf(const BlockShape& shape);
Rotation RotationOf(const DeviceRope& rope);
Sampled SampledOf(const SampledQueries& sampled);
ScoreArgs VectorsOf(const ScoreParams& params);
/// Of some vectors at least.
ScoreCodesArgs CodesOf(const ScoreCodesParams& params);

/// kIo if a launcher said something: "what" failed, in CUDA's words.
Status Launched(const char* what, const char* error);

}  // namespace cairn::cuda
