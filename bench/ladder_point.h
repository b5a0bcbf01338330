// LadderPoint: one thing that the ladder timed, and what came out: repetitions, and estimates with
// an interval from them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/fine_histogram.h"

namespace cairn {

/// What was timed. All of it together is the point's name in every output.
struct LadderKey {
  std::string tier;          ///< "SSD direct", a peer's name, or "CPU" for steps without a tier
  std::string step;          ///< "fetch", "checksum", ...
  uint64_t block_bytes = 0;  ///< payload of a block; 0: no blocks are moved
  uint32_t batch = 1;        ///< blocks of one operation
  int readers = 1;           ///< operations in flight
  std::string variant{};     ///< a hit mix, a size of the index, kind of arrivals; else empty
  std::optional<int> load_percent{};  ///< open loop: of the closed loop's rate

  /// "SSD direct/fetch/16384/64/1//70": equal exactly for equal points.
  std::string Name() const;
};

/// One turn of one point.
struct LadderTurn {
  FineHistogram latency_ps;  ///< of one operation; open loop: from its intended start
  FineHistogram service_ps;  ///< open loop: from its real start
  uint64_t operations = 0;
  uint64_t payload_bytes = 0;             ///< that have moved; what was found in place has not
  std::vector<uint64_t> served_blocks{};  ///< by compute slab, host memory, SSD; where measured
  double seconds = 0;
  double cpu_seconds = 0;                        ///< of the whole process
  std::optional<uint64_t> process_read_bytes{};  ///< from the device, as /proc/self/io counts
  std::optional<uint64_t> device_read_bytes{};   ///< from the device, by anybody
};

/// A median, and an interval that holds the true one with a probability of at least 93 % if turns
/// are independent; no interval if it comes from all turns taken together.
struct Estimate {
  double median = 0;
  std::optional<std::pair<double, double>> interval{};
};

/// The median of `values` and the narrowest interval between two of them, as far from the least as
/// from the greatest, that has such a probability (binomial distribution of the rank). Of fewer
/// than five values, which have none, no interval.
Estimate MedianOf(std::vector<double> values);
/// Probability, 0 to 1, that MedianOf's interval of `count` values holds the median.
double IntervalProbability(int count);

struct LadderPoint {
  LadderKey key;
  uint32_t together = 1;                    ///< operations between two looks at the clock
  bool cold = false;                        ///< all of it must come from the device
  std::optional<double> rate_per_second{};  ///< open loop
  std::vector<LadderTurn> turns{};

  /// Nanoseconds of an operation. Over turns if each has enough operations for `q`, else from all
  /// of them; nothing if these are too few as well. Of operations timed together there are means
  /// only: their median, and nothing above it, for means have no tails.
  std::optional<Estimate> Latency(double q) const;
  std::optional<Estimate> Service(double q) const;
  /// Nothing of operations timed together.
  std::optional<double> MaxNs() const;
  Estimate OperationsPerSecond() const;
  /// Payload that has moved; nothing if none has.
  std::optional<Estimate> BytesPerSecond() const;
  uint64_t payload_bytes() const;
  /// Of the blocks of all turns: compute slab, host memory, SSD; empty where not measured.
  std::vector<double> ServedPercent() const;
  /// CPU nanoseconds of an operation.
  Estimate CpuNs() const;
  uint64_t operations() const;
  std::optional<uint64_t> process_read_bytes() const;
  std::optional<uint64_t> device_read_bytes() const;
  FineHistogram All() const;
};

}  // namespace cairn
