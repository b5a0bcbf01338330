// One group of rows of one partition in a search of lists (list_search.h): what it is made of, and
// one task's memory. Internal to index/.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "index/block_range.h"
#include "index/list_search.h"
#include "index/list_store.h"
#include "index/top_blocks.h"

namespace cairn::list_search {

inline constexpr float kEmpty = -std::numeric_limits<float>::infinity();
/// From so many rows on the first scores leave out the lower bits of queries.
inline constexpr int64_t kManyRows = 16;
/// Weights of the first pass are those of the final ones up to so much: their log-sum-exp is an
/// estimate, and those of many rows are of coarse scores.
inline constexpr float kSlack = 1.0f;
inline constexpr int64_t kTileRows = 4;

// Vectors [begin, end) of a list.
struct Piece {
  int64_t list;
  int64_t begin;
  int64_t end;

  int64_t count() const { return end - begin; }
};

// A piece whose scores are kept: [rows, vectors], one vector if all are equal.
struct Scored {
  Piece piece;
  size_t at;
  float most;  // largest weight by the estimated lse
};

struct Found {
  float weight;
  uint32_t number;
  int64_t list;
  int64_t place;
};

struct Sums {
  int32_t high;
  int32_t low;
};

// One task's memory.
struct Scratch {
  std::vector<int8_t> split;     // [tiles of rows][high, low][rows of the tile][padded_dim]
  std::vector<float> units;      // [rows]
  std::vector<float> offsets;    // [4 · rows]: products with the centre of all
  std::vector<Sums> biases;      // [rows]: what codes of 128 sum to
  std::vector<float> estimates;  // [rows, lists]: log of what a list adds to a row's lse
  std::vector<float> bounds;  // [lists]: the largest weight that is likely; −infinity once scored
  std::vector<int32_t> order;   // lists, in the order of looking
  std::vector<int32_t> chosen;  // of some numbers, those that matter
  std::vector<float> lse;       // [rows], estimated
  std::vector<SumLine> sums;
  std::vector<float> scores;
  std::vector<float> best;
  std::vector<MaxAndSum> taken;  // [rows]: of the lists that were scored
  std::vector<Scored> pieces;
  std::vector<float> kept;  // scores of few rows
  std::vector<Found> found;
  std::vector<float> vectors;
  TopBlocks top;
};
inline thread_local Scratch scratch;

// One group of rows of one partition.
class Group {
 public:
  Group(const ListSearch& search, int64_t partition, int64_t group)
      : store_(*search.stores[static_cast<size_t>(partition)]),
        k_(search.result->k),
        dim_(search.options.dim),
        low_(search.request.begin * store_.representatives()),
        high_(search.request.end * store_.representatives()) {
    const SearchRequest& request = search.request;
    const int64_t begin = group * request.rows_per_group;
    rows_ = std::min<int64_t>(request.rows_per_group, request.rows - begin);
    queries_ = request.queries + (partition * request.rows + begin) * dim_;
    lse_ = search.result->lse.data() + partition * request.rows + begin;
    const int64_t at = (partition * search.result->groups + group) * k_;
    ordinals_ = search.result->ordinals.data() + at;
    weights_ = search.result->log_weights.data() + at;
    many_ = rows_ >= kManyRows;
  }

  void Search() {
    Split();
    Rank();
    Scan();
    JoinLseOfLists();
    if (k_ == 0) return;
    many_ ? WeighAgain() : WeighKept();
    Choose();
  }

 private:
  void Split();
  /// Products of rows [first, first + rows), at most kTileRows, with the tiles that hold vectors
  /// [begin, end) of a list, into scratch.sums. Tiles of `next` are fetched meanwhile.
  void Multiply(const VectorList& list, int64_t begin, int64_t end, int64_t first, int64_t rows,
                const VectorList* next) const;
  /// What Multiply made for row first + r, beginning with vector `begin`.
  struct RowSums {
    const int32_t* high;
    const int32_t* low;  ///< null if coarse
  };
  RowSums SumsOf(int64_t begin, int64_t end, int64_t r, int64_t rows) const;
  void Rank();
  void Scan();
  void ScanInOrder();
  Piece PieceOf(int64_t list) const;
  float ScorePiece(const Piece& piece, const VectorList* next);
  /// Offers the vectors of a piece with the weights in scratch.best, and remembers those that may
  /// be among the best.
  void Offer(const Piece& piece, float slack);
  void JoinLseOfLists();
  void WeighKept();
  void WeighAgain();
  void Choose();

  const ListStore& store_;
  const int32_t k_;
  const int64_t dim_;
  const int64_t low_;   // first vector of the range
  const int64_t high_;  // one past the last
  int64_t rows_;
  const float* queries_;
  float* lse_;
  int64_t* ordinals_;
  float* weights_;
  bool many_;
};

}  // namespace cairn::list_search
