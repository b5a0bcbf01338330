// One query and one block: what is seen of it, and scores to weights.
#pragma once

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.h"

namespace cairn::cuda {

/// What a query sees of a block that it stands `offset` rows behind the beginning of.
struct Sight {
  int rows;   ///< the first so many
  bool gate;  ///< through row B − 1, in a softmax of their own
};

__device__ __forceinline__ Sight SightOf(const AttendArgs& args, const PlacedBlock& block,
                                         int offset) {
  if (block.rows == 0 || offset < 0) return {0, false};
  const int full = args.layout.block_rows;
  if (args.grouped && offset >= full) return {full - 1, true};
  int rows = block.rows < offset + 1 ? block.rows : offset + 1;
  if (args.grouped && rows == full) --rows;
  return {rows, false};
}

/// Rows whose keys are read for a query with this sight.
__device__ __forceinline__ int KeyRows(const Sight& sight) { return sight.rows + sight.gate; }

/// Turns scores[0, rows) into the weights of the values, zeros up to `end` where less is seen, and
/// takes them into the query's softmax, whose largest score and sum so far are *max and *sum.
/// What was accumulated before is to be multiplied by the number returned. By all lanes of a warp.
__device__ inline float WeighBlock(const Sight& sight, int end, float* scores, float* max,
                                   float* sum) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  float top = MinusInfinity();
  for (int t = lane; t < sight.rows; t += kWarp) top = fmaxf(top, scores[t]);
  top = MaxOverWarp(top);
  const float old_max = *max;
  const float old_sum = *sum;
  const float gate = sight.gate ? scores[sight.rows] : MinusInfinity();
  const float new_max = fmaxf(old_max, sight.gate ? gate : top);
  const float shift = sight.gate ? top : new_max;
  float total = 0.0f;
  for (int t = lane; t < sight.rows; t += kWarp) {
    const float weight = top == MinusInfinity() ? 0.0f : __expf(scores[t] - shift);
    scores[t] = weight;
    total += weight;
  }
  total = SumOverLanes(total, kWarp);
  if (sight.gate) {  // a block without a score keeps its gate's share
    const float share = gate == MinusInfinity() ? 0.0f : __expf(gate - new_max);
    const float factor = total > 0.0f ? share / total : 0.0f;
    for (int t = lane; t < sight.rows; t += kWarp) scores[t] *= factor;
    total = share;
  }
  const float keep = old_max == MinusInfinity() ? 0.0f : __expf(old_max - new_max);
  __syncwarp();  // all have read the gate, *max and *sum
  for (int t = sight.rows + lane; t < end; t += kWarp) scores[t] = 0.0f;
  if (lane == 0) {
    *max = new_max;
    *sum = old_sum * keep + total;
  }
  return keep;
}

/// 1 / sum; 0 where nothing was seen.
__device__ __forceinline__ float Inverse(float sum) { return sum > 0.0f ? 1.0f / sum : 0.0f; }
__device__ __forceinline__ float LogSumExp(float max, float sum) {
  return sum > 0.0f ? max + logf(sum) : MinusInfinity();
}

}  // namespace cairn::cuda
