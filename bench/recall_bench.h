// RecallBench: what blocks are found by what stands for them, on recorded queries and keys: the
// attention mass that a choice catches beside the best choice of its size, and how many of the best
// blocks are in it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "bench/recording.h"

namespace cairn {

/// What stands for a block in a search.
enum class StandIn : uint8_t {
  kMean,      ///< the mean of its keys
  kSubMeans,  ///< means of 16 keys each; the best of them counts
  kVariance,  ///< mean and variance: μ·q + ½ q²·σ², the mass of keys spread as a normal
              ///< distribution
  kBounds,    ///< least and largest of every dimension: the most a key within could score
  kLandmark,  ///< the trained landmark's key
};
std::string_view StandInName(StandIn stand_in);

struct RecallBenchOptions {
  std::vector<int32_t> block_rows;  ///< B; a recording with landmarks has its own and ignores these
  std::vector<int32_t> budgets;     ///< tokens chosen per KV head: k = budget / B
  int32_t sampled_rows = 12;        ///< of each probe, in pairs of neighbours
};

/// Means over layers, KV heads, probes and rows.
struct RecallRow {
  int32_t block_rows = 0;
  StandIn stand_in = StandIn::kMean;
  int32_t floats = 0;  ///< that stand for a block, in multiples of D
  int32_t budget = 0;
  int32_t k = 0;
  double mass = 0;           ///< caught by the choice, of all mass on far blocks
  double best_mass = 0;      ///< caught by the best choice of k blocks
  double recall = 0;         ///< of the best choice's blocks
  double worst_layer = 0;    ///< mass over best_mass in the layer where it is least
  double chunk_mass = 0;     ///< caught if the probe's rows share one choice of k blocks
  double same_as_next = 0;   ///< blocks that the next row chooses too
  double mass_if_kept = 0;   ///< caught if the row before had chosen, over that of an own choice
  double spread_mass = 0;    ///< caught if k blocks are the mean and each choice takes its share
  double spread_target = 0;  ///< of mass by a choice's own estimate, at which it stops
};

/// Uses all threads. Probes with fewer far blocks than k are left out; kInvalidArgument if none
/// remain.
Result<std::vector<RecallRow>> RunRecallBench(const Recording& recording,
                                              const RecallBenchOptions& options);

}  // namespace cairn
