// ColdBench: one store of blocks of one size beside a plain file of the same bytes. Both are
// written in turns, and then read in turns, so that what else the machine does meets both alike.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/parallel.h"
#include "storage/rocks_cold_store.h"

namespace cairn {

struct ColdBenchOptions {
  std::string directory;      ///< exists; `store` and `raw` in it are made and removed
  size_t payload_bytes = 0;   ///< of a block
  uint64_t total_bytes = 0;   ///< payload of all blocks, about
  int rounds = 5;             ///< of which medians are taken
  double turn_seconds = 0.7;  ///< of reading one side in one round, or less: each block once
};

/// Reads of batches of 64 blocks of a TieredStore, all of them misses, checksums verified, beside
/// reads of equal size of the plain file. Bytes a second are of what the cold tier served.
struct ReadRow {
  size_t payload_bytes = 0;
  int in_flight = 0;  ///< batches at once
  BlockReads reads = BlockReads::kAuto;
  double ratio_to_raw = 0;  ///< of payload bytes a second
  double p99_ratio = 0;     ///< of the 99th percentile of a batch's time
  double bytes_per_second = 0;
  double raw_bytes_per_second = 0;
  double p99_ms = 0;
  double raw_p99_ms = 0;
  double cpu_seconds_per_gb = 0;  ///< of this process
  double raw_cpu_seconds_per_gb = 0;
  double from_disk = 0;  ///< least share of a turn's blocks that the cold tier served
};

/// Blocks sealed, written and committed in steps, beside the same bytes written to the plain file
/// and synced. The time is that of Flush and Commit; the CPU time and the bytes are of Seal too.
struct IngestRow {
  size_t payload_bytes = 0;
  double ratio_to_raw = 0;
  double bytes_per_second = 0;
  double raw_bytes_per_second = 0;
  double cpu_seconds_per_gb = 0;
  std::optional<double> write_amplification;  ///< bytes given to the disk over payload bytes
  double longest_commit_seconds = 0;
  uint64_t step_bytes = 0;
  uint64_t files = 0;  ///< segments and table files at the end
  uint64_t payload_total_bytes = 0;
};

struct ColdBenchResult {
  IngestRow ingest;
  std::vector<ReadRow> reads;
};

/// `ways`: each is read by, in turns too. `stop` is asked between turns; then kInterrupted.
Result<ColdBenchResult> RunColdBench(const ColdBenchOptions& options,
                                     const std::vector<BlockReads>& ways,
                                     FunctionRef<bool(const std::string&)> stop);

}  // namespace cairn
