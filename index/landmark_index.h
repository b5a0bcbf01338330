// LandmarkIndex: finds, per partition, the blocks whose representatives score highest by inner
// product, and the log-sum-exp that turns scores into softmax weights.
//
// A partition is one sequence of blocks (one per layer and KV head of a session). Each block has R
// representatives of dimension D; its score for a query is the largest of their inner products.
// Implementations: exact, int8 and lists (store_index.h) and FAISS (faiss_cpu_index.cc), made by
// MakeIndex; one contract suite runs over all. One writer at a time; searches of other partitions
// may run beside.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "base/error.h"

namespace cairn {

enum class IndexKind : uint8_t { kAuto, kExact, kFaiss, kInt8, kLists };
/// "auto", "exact", "int8", "lists" or "faiss".
Result<IndexKind> ParseIndexKind(std::string_view text);
std::string_view IndexKindName(IndexKind kind);

/// Of vectors.
inline constexpr int32_t kMaxDim = 4096;

struct IndexOptions {
  IndexKind kind = IndexKind::kAuto;
  int32_t partitions = 0;
  int32_t dim = 0;              ///< D
  int32_t representatives = 1;  ///< R per block
  DType dtype = DType::kBF16;   ///< kF32 or kBF16: how representatives are kept, if not as codes
  Status Validate() const;
  /// What `kind` comes to for partitions of so many blocks. Auto is exact, and lists where there
  /// are many, but for f32.
  IndexKind Chosen(int64_t blocks) const;
};

/// Queries of `partition_count` consecutive partitions over blocks [begin, end).
///
/// The rows of a partition fall into groups of `rows_per_group` consecutive ones (the last group
/// may be short); a group makes one choice. With s(r,b) the score of row r for block b, the weight
/// of b in the group is max over its rows of exp(s(r,b) − lse(r)), lse(r) being the log-sum-exp of
/// s(r,·) over [begin, end), joined with other_lse[r] if given (scores the caller computed itself).
struct SearchRequest {
  int32_t first_partition = 0;
  int32_t partition_count = 1;     ///< P
  const float* queries = nullptr;  ///< [P, rows, D] dense, already rotated and scaled
  int32_t rows = 0;
  int32_t rows_per_group = 1;
  int64_t begin = 0;  ///< first block ordinal considered
  int64_t end = 0;    ///< one past the last, ≤ size
  int32_t k = 0;
  const float* other_lse = nullptr;  ///< [P, rows] or null
};

struct SearchResult {
  int32_t groups = 0;              ///< per partition
  int32_t k = 0;                   ///< min(request k, end − begin)
  std::vector<int64_t> ordinals;   ///< [P, groups, k], heaviest first; ties: lowest ordinal first
  std::vector<float> log_weights;  ///< [P, groups, k], log of the weight above
  std::vector<float> lse;          ///< [P, rows], joined with other_lse
  bool lse_exact = true;           ///< false: of codes, or from the best candidates alone
};

class LandmarkIndex {
 public:
  virtual ~LandmarkIndex() = default;

  /// Says that partitions will hold so many blocks, before they are added: who keeps them where
  /// memory is scarce has no more and no less room from then on. Beside nothing else.
  virtual Status Reserve(int64_t /*blocks*/) { return Ok(); }
  /// Appends `count` blocks to each of `partition_count` partitions, all of which hold `size`
  /// blocks now. `vectors` is [partition_count, count, R, D] f32. Calls for partitions of which
  /// none is in two of them may run at once, beside nothing else.
  virtual Status Add(int32_t first_partition, int32_t partition_count, int64_t count,
                     const float* vectors) = 0;
  /// Add of what was held before, as when a session is opened: what takes long may be left to
  /// Settle, and until then searches are exact.
  virtual Status Load(int32_t first_partition, int32_t partition_count, int64_t count,
                      const float* vectors) {
    return Add(first_partition, partition_count, count, vectors);
  }
  /// Does what Load left, for up to so many partitions, as if the blocks had come by Add. Beside
  /// nothing else.
  virtual void Settle(int32_t /*partitions*/) {}
  /// What is held now is what Truncate comes back to, bit for bit, whatever is added meanwhile.
  /// Where Load left something to Settle, it comes back to what Settle makes of it. Beside nothing
  /// else.
  virtual void Keep() {}
  /// Forgets blocks with ordinal ≥ size. An index that keeps codes may find them a little otherwise
  /// afterwards, unless all partitions come to what they held at the last Keep.
  virtual void Truncate(int32_t first_partition, int32_t partition_count, int64_t size) = 0;
  virtual int64_t size(int32_t partition) const = 0;

  /// Fills `result` (its vectors are reused). kInvalidArgument if a query holds NaN or infinity.
  virtual Status Search(const SearchRequest& request, SearchResult* result) = 0;

  virtual std::string_view name() const = 0;
  virtual uint64_t memory_bytes() const = 0;
};

Result<std::unique_ptr<LandmarkIndex>> MakeIndex(const IndexOptions& options);

}  // namespace cairn
