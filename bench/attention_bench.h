// AttentionBench: attention of one layer over a long session whose blocks are all in memory,
// selection and look-up included, in decode and in prefill; and how close the kernel comes to the
// speed of memory when blocks lie anywhere in it.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/parallel.h"
#include "engine/options.h"
#include "index/landmark_index.h"

namespace cairn {

struct AttentionBenchOptions {
  int64_t tokens = 131072;
  int32_t layers = 2;    ///< attended in turns, so that a layer finds the caches used
  int32_t retrieve = 8;  ///< blocks chosen per KV head
  DType kv_type = DType::kF16;
  IndexKind index = IndexKind::kAuto;
  int32_t prefill_rows = 256;          ///< of a step that reads
  int32_t decode_steps = 200;          ///< of a round
  int32_t prefill_steps = 10;          ///< of a round
  int rounds = 5;                      ///< of which medians are taken
  uint64_t pool_bytes = 256ull << 20;  ///< memory over which the kernel's blocks are strewn
};

struct AttentionBenchResult {
  SessionShape shape;
  int64_t tokens = 0;
  int64_t blocks_per_head = 0;
  int32_t retrieve = 0;
  int32_t prefill_rows = 0;
  std::string index;                   ///< that searched
  double decode_seconds = 0;           ///< of one layer and row
  double prefill_seconds = 0;          ///< of one layer and prefill_rows rows
  double index_bytes = 0;              ///< of all layers
  uint64_t read_bytes = 0;             ///< of blocks, by one layer in decode
  double kernel_bytes_per_second = 0;  ///< of blocks attended by decode's kernel, all cores
  double memory_bytes_per_second = 0;  ///< of the same memory read from start to end, all cores
  double kernel_share = 0;             ///< the one over the other, the median of the rounds
};

/// kInterrupted if `stop`, asked now and then with a line about progress, says so.
Result<AttentionBenchResult> RunAttentionBench(const AttentionBenchOptions& options,
                                               FunctionRef<bool(const std::string&)> stop);

}  // namespace cairn
