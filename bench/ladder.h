// Ladder: the latency of every step of a retrieval, in every tier that is present, beside what
// other programs take for the same blocks. All points take turns in rounds, so that what else the
// machine does meets all of them alike; a calibration loop before each turn tells how much that
// was.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/byte_size.h"
#include "base/device.h"
#include "base/error.h"
#include "base/parallel.h"
#include "bench/fio_peer.h"
#include "bench/ladder_point.h"

namespace cairn {

struct LadderOptions {
  std::string directory;  ///< exists and is empty; what is made in it stays the caller's to remove
  std::vector<uint64_t> block_bytes{4 * kKiB,  8 * kKiB,  16 * kKiB,
                                    32 * kKiB, 64 * kKiB, 128 * kKiB};
  std::vector<uint32_t> batches{1, 4, 16, 64, 256};
  std::vector<int> readers{1, 2, 4, 8};
  bool full = false;  ///< every combination, not one axis at a time
  bool peers = true;
  uint64_t store_bytes = 256 * kMiB;  ///< of blocks, for each size
  double turn_seconds = 0.15;
  double fio_seconds = 1;
  int repetitions = 5;
  /// Operations a second of open loops, by the name of their points; those that are not named get a
  /// share of what their closed loop gave.
  std::map<std::string, double> rates{};
  Device* device = nullptr;  ///< has rungs of its own; must outlive the ladder

  Status Validate() const;
  /// Disk space that it takes.
  uint64_t NeededBytes() const;
  /// The point that axes cross in: 16 KiB, 64 blocks, 1 reader, or what is nearest in the lists.
  uint64_t base_block_bytes() const;
  uint32_t base_batch() const;
  int base_readers() const;
};

/// A tier or another program, and why it is absent if it is.
struct Presence {
  std::string name;
  bool present = false;
  std::string note{};  ///< a version or a setting; if absent, the reason
};

/// fio and our own reader on the same file with the same settings, in turns.
struct FioComparison {
  FioSettings settings;
  std::vector<FioRun> runs{};
  std::vector<double> own_bytes_per_second{};

  /// Our median lies between fio's least and greatest.
  bool agrees() const;
};

struct LadderNoise {
  Estimate loop_ns;           ///< of the calibration loop, median of each round
  Estimate memory_ns;         ///< of reading 4 MiB that no cache holds, median of each round
  double spread_percent = 0;  ///< 95th over 5th percentile of all loops, less one
  double drift_percent = 0;   ///< slowest over fastest round, less one
  double others_percent = 0;  ///< of all cores' time, taken by other programs meanwhile
};

struct LadderOverhead {
  double clock_ns = 0;       ///< of an empty step with two looks at the clock
  double walk_ns = 0;        ///< of one of many empty steps timed together
  std::string worst{};       ///< the point it is the largest part of
  double worst_percent = 0;  ///< of that point's median
};

struct LadderResult {
  std::vector<Presence> tiers{}, peers{};
  std::vector<LadderPoint> points{};
  std::vector<FioComparison> fio{};
  LadderNoise noise;
  LadderOverhead overhead;
  std::vector<std::string> too_small{};  ///< points left out: the ladder would be above 1 % of them
  std::vector<std::string> skipped{};    ///< combinations that do not fit the store's size
  std::string device_counters{};         ///< where the device's own counts were read
  double seconds = 0;
};

/// Measures everything. `progress` gets a line now and then and says whether to stop; then
/// kInterrupted.
Result<LadderResult> RunLadder(const LadderOptions& options,
                               FunctionRef<bool(const std::string&)> progress);

}  // namespace cairn
