// An AttentionCase for several KV heads, as the CUDA kernels take it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "kernels/cuda/attention.h"
#include "tests/kernels/attention_case.h"

namespace cairn {

/// `heads` times the case's blocks and queries, with other numbers for each head. Head h sees no
/// h first blocks, so that lists differ in length.
class CudaAttention {
 public:
  CudaAttention(const AttentionCase& from, int32_t heads, uint64_t seed);

  /// [T, Hq, D] and [T, Hq]. What was written beside them fails a check.
  AttentionResult Reference();
  AttentionResult Decode(int32_t splits);
  /// Of all blocks but the first of each head, whose attention comes from elsewhere and is joined.
  AttentionResult DecodeInOneLaunch(int32_t splits);
  AttentionResult Prefill();

 private:
  template <class Function>
  AttentionResult Run(const Function& attend);

  AttentionCase from_;
  int32_t heads_;
  std::vector<std::unique_ptr<AttentionData>> data_;
  std::vector<float> queries_;
  std::vector<cuda::PlacedBlock> blocks_;
  std::vector<int32_t> counts_;
};

}  // namespace cairn
