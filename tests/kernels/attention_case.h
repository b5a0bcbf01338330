// Cases of attention for tests: random blocks and queries that own their memory, and an oracle.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/attention.h"
#include "tests/support/random.h"

namespace cairn {

/// What a case is made of. Block b stands at slot b + first_slot (b ≥ 1: + 1 more with `hole`); the
/// queries stand at consecutive positions that end `back` before the last row written.
struct AttentionCase {
  std::string name;
  int32_t rows = 1;
  int32_t group = 1;
  int32_t head_dim = 64;
  int32_t block_rows = 64;
  int32_t blocks = 1;
  int32_t last_rows = 64;  ///< rows written of the last block
  DType dtype = DType::kF32;
  SoftmaxMode mode = SoftmaxMode::kPlain;
  RopeStyle style = RopeStyle::kHalfSplit;
  bool hole = false;
  int32_t first_slot = 0;
  int32_t back = 0;
  bool bf16 = false;
  float query_factor = 1.0f;  ///< of queries; keys are divided by it
};

inline void PrintTo(const AttentionCase& from, std::ostream* os) { *os << from.name; }

struct AttentionResult {
  std::vector<float> o;    ///< [T, G, D]
  std::vector<float> lse;  ///< [T, G]
};

/// A case's data. `params` points into it; results go to the AttentionResult of a run.
class AttentionData {
 public:
  AttentionData(const AttentionCase& from, uint64_t seed);

  using Function = void (*)(const AttendParams&);
  /// Runs queries [first, first + count) (all by default) over the blocks given.
  AttentionResult Reference(int32_t first = 0, int32_t count = -1);
  AttentionResult Fast(int32_t first = 0, int32_t count = -1);
  /// Straight from the definition, in double, over the numbers before they were rounded.
  AttentionResult Oracle() const;

  AttentionCase from;
  RopeTable rope;
  std::vector<BlockRef> blocks;
  std::vector<std::vector<std::byte>> payloads;
  std::vector<float> keys;     ///< [blocks, B, D], un-rotated
  std::vector<float> values;   ///< [blocks, B, D]
  std::vector<float> queries;  ///< [T, G, D], rows stride() apart
  std::vector<int32_t> positions;

  int64_t stride() const { return int64_t{from.group} * from.head_dim + 5; }

 private:
  AttentionResult Run(bool fast, int32_t first, int32_t count);
  double OracleScore(int32_t row, int32_t head, size_t block, int32_t key) const;
  void OracleRow(int32_t row, int32_t head, float* o, float* lse) const;
};

/// Calls attention with memory of exactly the size asked for.
void CallAttend(const AttendParams& params);

/// The mean absolute difference; of `a` to 0 if `b` is empty.
float MeanDifference(const std::vector<float>& a, const std::vector<float>& b);

/// The largest absolute difference; infinities must agree.
float LargestDifference(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace cairn
