#include "index/list_search.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>

#include "base/parallel.h"
#include "index/block_range.h"
#include "index/code_kernels.h"
#include "index/score_kernels.h"
#include "index/search_request.h"

namespace cairn {
namespace {

constexpr float kEmpty = -std::numeric_limits<float>::infinity();
/// z above: how far beyond its spread a list is still looked into.
constexpr float kOptimism = 3.5f;
/// From so many rows on the first scores leave out the lower bits of queries.
constexpr int64_t kManyRows = 16;
/// Weights of the first pass are those of the final ones up to so much: their log-sum-exp is an
/// estimate, and those of many rows are of coarse scores.
constexpr float kSlack = 1.0f;
/// How far a score may be above what exponentials are taken relative to.
constexpr float kFar = 60.0f;
constexpr int64_t kTileRows = 4;
/// Lists with the largest bounds come first, to learn what the others must reach.
constexpr size_t kFirstLists = 8;

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
thread_local Scratch scratch;

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

// Queries times steps, as codes of 15 bits in two parts.
void Group::Split() {
  const int64_t padded = store_.padded_dim();
  const auto rows = static_cast<size_t>(rows_);
  scratch.split.resize(2 * rows * static_cast<size_t>(padded));
  scratch.units.resize(rows);
  scratch.offsets.resize(4 * rows);
  scratch.biases.resize(rows);
  ScanScores(DType::kF32, reinterpret_cast<const std::byte*>(store_.centre()), 1,
             static_cast<int32_t>(dim_), queries_, static_cast<int32_t>(rows_),
             scratch.offsets.data(), 4);
  for (int64_t first = 0; first < rows_; first += kTileRows) {
    const int64_t count = std::min(kTileRows, rows_ - first);
    for (int64_t r = first; r < first + count; ++r) {
      int8_t* high = scratch.split.data() + (2 * first + r - first) * padded;
      int8_t* low = high + count * padded;
      const auto at = static_cast<size_t>(r);
      scratch.units[at] = SplitQuery(queries_ + r * dim_, store_.step(), dim_, padded, high, low);
      scratch.biases[at] = {128 * std::accumulate(high, high + padded, 0),
                            128 * std::accumulate(low, low + padded, 0)};
    }
  }
}

void Group::Multiply(const VectorList& list, int64_t begin, int64_t end, int64_t first,
                     int64_t rows, const VectorList* next) const {
  const int64_t padded = store_.padded_dim();
  const int64_t first_tile = begin / kTileVectors;
  const int64_t tiles = (end - 1) / kTileVectors + 1 - first_tile;
  scratch.sums.resize(static_cast<size_t>(2 * kTileRows * tiles + 1));
  TileDots({.tiles = list.tiles() + first_tile * TileBytes(padded),
            .count = tiles,
            .padded_dim = padded,
            .queries = scratch.split.data() + 2 * first * padded,
            .rows = many_ ? rows : 2 * rows,
            .sums = scratch.sums.data()->sums,
            .stride = tiles * kTileVectors,
            .ahead = next != nullptr ? next->tiles() : nullptr});
}

Group::RowSums Group::SumsOf(int64_t begin, int64_t end, int64_t r, int64_t rows) const {
  const int64_t first = begin / kTileVectors * kTileVectors;
  const int64_t stride = (end - first + kTileVectors - 1) / kTileVectors * kTileVectors;
  const int32_t* high = scratch.sums.data()->sums + r * stride + begin - first;
  return {high, many_ ? nullptr : high + rows * stride};
}

// Estimates each row's lse and every list's largest weight from centres and spreads.
void Group::Rank() {
  const auto lists = static_cast<int64_t>(store_.lists().size());
  const float* spreads = store_.spreads();
  const float* logs = store_.logs();
  const float* extremes = store_.extremes();
  const float part = std::log(static_cast<float>(high_ - low_) /
                              static_cast<float>(store_.size() * store_.representatives()));
  scratch.estimates.resize(static_cast<size_t>(rows_ * lists));
  scratch.lse.resize(static_cast<size_t>(rows_));
  scratch.scores.resize(static_cast<size_t>(lists + kTileVectors));
  scratch.bounds.assign(static_cast<size_t>(lists), kEmpty);
  float* bounds = scratch.bounds.data();
  for (int64_t first = 0; first < rows_; first += kTileRows) {
    const int64_t rows = std::min(kTileRows, rows_ - first);
    Multiply(store_.centres(), 0, lists, first, rows, nullptr);
    for (int64_t r = first; r < first + rows; ++r) {
      const float* query = queries_ + r * dim_;
      const float query_width = store_.Width(query);
      float* row = scratch.estimates.data() + r * lists;
      const auto at = static_cast<size_t>(r);
      const RowSums sums = SumsOf(0, lists, r - first, rows);
      const float* scores = scratch.scores.data();
      JoinScaledSums(sums.high, scratch.biases[at].high, sums.low, scratch.biases[at].low, lists,
                     scratch.units[at], scratch.offsets[4 * at], store_.centres().scales.data(),
                     scratch.scores.data());
      float most = kEmpty;
      for (int64_t j = 0; j < lists; ++j) {
        const float width = query_width * spreads[j];
        // The sum of exponentials of n normal variables: while they spread little each adds what
        // is to be expected, half of the variance; then the largest of them is all.
        const float extreme = std::min(width, extremes[j]);
        const float more = logs[j] + extreme * (width - 0.5f * extreme);
        row[j] = logs[j] == kEmpty ? kEmpty : scores[j] + part + more;
        most = most < row[j] ? row[j] : most;
      }
      const float estimate = most + std::log(SumOfExp(row, lists, most));
      const float lse = JoinLse(estimate, lse_[r]);
      scratch.lse[static_cast<size_t>(r)] = lse;
      for (int64_t j = 0; j < lists; ++j) {
        const float bound = scores[j] + kOptimism * query_width * spreads[j] - lse;
        bounds[j] = bounds[j] < bound ? bound : bounds[j];
      }
    }
  }
}

// What a list has of the range.
Piece Group::PieceOf(int64_t index) const {
  const VectorList& list = store_.lists()[static_cast<size_t>(index)];
  Piece piece{index, 0, list.count()};
  if (piece.end == 0) return piece;
  const auto place = [&](int64_t number) {
    return std::lower_bound(list.numbers.begin(), list.numbers.end(), number) -
           list.numbers.begin();
  };
  if (list.first < low_) piece.begin = place(low_);
  if (list.last >= high_) piece.end = std::max(piece.begin, place(high_));
  return piece;
}

// Scores the vectors of a piece: scratch.best has the weight of each, or of one if all are equal.
// Returns the largest.
float Group::ScorePiece(const Piece& piece, const VectorList* next) {
  const VectorList& list = store_.lists()[static_cast<size_t>(piece.list)];
  const int64_t begin = list.equal ? 0 : piece.begin;
  const int64_t end = list.equal ? 1 : piece.end;
  const float times = list.equal ? static_cast<float>(piece.count()) : 1.0f;
  scratch.best.assign(static_cast<size_t>(end - begin + kTileVectors), kEmpty);
  const size_t kept = scratch.kept.size();
  float most = kEmpty;
  if (!many_) {
    scratch.kept.resize(kept + static_cast<size_t>(rows_ * (end - begin) + kTileVectors));
  }
  for (int64_t first = 0; first < rows_; first += kTileRows) {
    const int64_t rows = std::min(kTileRows, rows_ - first);
    Multiply(list, begin, end, first, rows, next);
    for (int64_t r = 0; r < rows; ++r) {
      const auto at = static_cast<size_t>(first + r);
      const RowSums sums = SumsOf(begin, end, r, rows);
      float* scores = scratch.kept.data() + kept + (first + r) * (end - begin);
      const auto fold = [&](float reference) {
        return FoldScaledSums(sums.high, scratch.biases[at].high, sums.low, scratch.biases[at].low,
                              end - begin, scratch.units[at], scratch.offsets[4 * at],
                              list.scales.data() + begin, reference, scratch.lse[at],
                              scratch.best.data(), many_ ? nullptr : scores);
      };
      MaxAndSum& taken = scratch.taken[at];
      FoldedSums found = fold(taken.max);
      if (!(found.max < taken.max + kFar)) {  // the estimate was no measure for these
        taken = {found.max, taken.sum * std::exp(taken.max - found.max)};
        found = fold(taken.max);
      }
      taken.sum += times * found.sum;
      most = std::max(most, found.max - scratch.lse[at]);
    }
  }
  if (!many_) scratch.pieces.push_back({piece, kept, most});
  return most;
}

void Group::Offer(const Piece& piece, float slack) {
  const VectorList& list = store_.lists()[static_cast<size_t>(piece.list)];
  const auto offer = [&](int64_t i, float weight) {
    if (weight < scratch.top.threshold() - slack) return;
    const uint32_t number = list.numbers[static_cast<size_t>(piece.begin + i)];
    scratch.top.Offer(weight, number);
    scratch.found.push_back({weight, number, piece.list, piece.begin + i});
  };
  if (list.equal) {  // the first are enough
    const int64_t most = std::min(int64_t{k_} * store_.representatives(), piece.count());
    for (int64_t i = 0; i < most; ++i) offer(i, scratch.best[0]);
    return;
  }
  scratch.chosen.resize(static_cast<size_t>(piece.count() + 64));
  const int64_t chosen = SelectFrom(scratch.best.data(), piece.count(),
                                    scratch.top.threshold() - slack, scratch.chosen.data());
  for (int64_t i = 0; i < chosen; ++i) {
    const int32_t at = scratch.chosen[static_cast<size_t>(i)];
    offer(at, scratch.best[static_cast<size_t>(at)]);
  }
}

void Group::Scan() {
  scratch.taken.clear();
  for (const float lse : scratch.lse) scratch.taken.push_back({lse, 0.0f});
  scratch.pieces.clear();
  scratch.kept.clear();
  scratch.found.clear();
  if (k_ == 0) return;
  scratch.top.Reset(k_ * store_.representatives());
  const auto lists = static_cast<int64_t>(scratch.bounds.size());
  std::vector<int32_t>& order = scratch.order;
  order.resize(static_cast<size_t>(lists));
  std::iota(order.begin(), order.end(), 0);
  const auto first = std::min(kFirstLists, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(first), order.end(),
                    [&](int32_t a, int32_t b) {
                      const float of_a = scratch.bounds[static_cast<size_t>(a)];
                      const float of_b = scratch.bounds[static_cast<size_t>(b)];
                      return of_a > of_b || (of_a == of_b && a < b);
                    });
  order.resize(first);
  ScanInOrder();
  order.resize(static_cast<size_t>(lists + 64));
  order.resize(static_cast<size_t>(
      SelectFrom(scratch.bounds.data(), lists, scratch.top.threshold(), order.data())));
  ScanInOrder();
}

// The lists in scratch.order that can still matter.
void Group::ScanInOrder() {
  const VectorList* const lists = store_.lists().data();
  const std::vector<int32_t>& order = scratch.order;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i + 4 < order.size()) {  // what PieceOf looks at
      const auto* const ahead = reinterpret_cast<const char*>(lists + order[i + 4]);
      __builtin_prefetch(ahead);
      __builtin_prefetch(ahead + 64);
    }
    float& bound = scratch.bounds[static_cast<size_t>(order[i])];
    if (bound == kEmpty || (scratch.top.full() && bound < scratch.top.threshold())) continue;
    bound = kEmpty;
    for (int64_t r = 0; r < rows_; ++r) {  // its own vectors stand for it
      scratch.estimates[static_cast<size_t>(r * store_.centres().count() + order[i])] = kEmpty;
    }
    const Piece piece = PieceOf(order[i]);
    if (piece.count() == 0) continue;
    const float most = ScorePiece(piece, i + 1 < order.size() ? lists + order[i + 1] : nullptr);
    const float slack = many_ ? kSlack : 0.0f;
    if (most >= scratch.top.threshold() - slack) Offer(piece, slack);
  }
}

// A row's lse: of the lists that were scored what they say, and the estimates of the others.
void Group::JoinLseOfLists() {
  const int64_t lists = store_.centres().count();
  for (int64_t r = 0; r < rows_; ++r) {
    const float* const estimates = scratch.estimates.data() + r * lists;
    const float most = *std::max_element(estimates, estimates + lists);
    LseSum sum;
    if (most != kEmpty) sum.Add({most, SumOfExp(estimates, lists, most)});
    sum.Add(scratch.taken[static_cast<size_t>(r)]);
    lse_[r] = JoinLse(sum.Lse(), lse_[r]);
  }
}

// Weighs the scores that were kept by the final lse.
void Group::WeighKept() {
  const float least = scratch.top.threshold() - kSlack;
  scratch.found.clear();
  scratch.top.Reset(k_ * store_.representatives());
  for (const Scored& scored : scratch.pieces) {
    if (scored.most < least) continue;
    const bool equal = store_.lists()[static_cast<size_t>(scored.piece.list)].equal;
    const int64_t count = equal ? 1 : scored.piece.count();
    scratch.best.assign(static_cast<size_t>(count), kEmpty);
    FoldRows(scratch.kept.data() + scored.at, count, static_cast<int32_t>(rows_), lse_, count,
             scratch.best.data());
    Offer(scored.piece, 0.0f);
  }
}

// Scores what was found once more, by all bits of the queries and the final lse.
void Group::WeighAgain() {
  std::vector<Found>& found = scratch.found;
  const float least = scratch.top.threshold() - kSlack;
  std::erase_if(found, [&](const Found& one) { return one.weight < least; });
  scratch.vectors.resize(found.size() * static_cast<size_t>(dim_));
  float* vector = scratch.vectors.data();
  for (const Found& one : found) {
    store_.Read(store_.lists()[static_cast<size_t>(one.list)], one.place, vector);
    vector += dim_;
  }
  const int64_t count = std::ssize(found);
  const int64_t stride = count + 3;
  scratch.scores.resize(static_cast<size_t>(rows_ * stride));
  ScanScores(DType::kF32, reinterpret_cast<const std::byte*>(scratch.vectors.data()), count,
             static_cast<int32_t>(dim_), queries_, static_cast<int32_t>(rows_),
             scratch.scores.data(), stride);
  scratch.best.assign(found.size(), kEmpty);
  FoldRows(scratch.scores.data(), stride, static_cast<int32_t>(rows_), lse_, count,
           scratch.best.data());
  for (size_t i = 0; i < found.size(); ++i) found[i].weight = scratch.best[i];
}

// The heaviest blocks of the vectors found: the k·R best of these belong to k blocks at least.
void Group::Choose() {
  std::vector<Found>& found = scratch.found;
  std::sort(found.begin(), found.end(),
            [](const Found& a, const Found& b) { return a.number < b.number; });
  const auto block_of = [&](size_t i) {
    return int64_t{found[i].number} / store_.representatives();
  };
  scratch.top.Reset(k_);
  for (size_t i = 0; i < found.size();) {
    const int64_t block = block_of(i);
    float weight = kEmpty;
    for (; i < found.size() && block_of(i) == block; ++i) {
      weight = std::max(weight, found[i].weight);
    }
    scratch.top.Offer(weight, block);
  }
  scratch.top.Write(0, ordinals_, weights_);
}

}  // namespace

void SearchLists(const ListSearch& search) {
  const int64_t groups = search.result->groups;
  ParallelFor(search.request.partition_count * groups,
              [&](int64_t task) { Group(search, task / groups, task % groups).Search(); });
}

}  // namespace cairn
