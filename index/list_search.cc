#include "index/list_search.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/parallel.h"
#include "index/code_kernels.h"
#include "index/list_group.h"
#include "index/score_kernels.h"
#include "index/search_request.h"

namespace cairn {
namespace list_search {
namespace {

/// z: how far beyond its spread a list is still looked into.
constexpr float kOptimism = 3.5f;
/// Of products with a list's vectors, as it is estimated: what is added to it stays finite.
constexpr float kWidest = 1e37f;
/// How far scores may be from what exponentials are taken relative to.
constexpr float kFar = 60.0f;
/// Lists with the largest bounds come first, to learn what the others must reach.
constexpr size_t kFirstLists = 8;

}  // namespace

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
        const float width = std::min(query_width * spreads[j], kWidest);
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
        const float width = std::min(query_width * spreads[j], kWidest);
        const float bound = scores[j] + kOptimism * width - lse;
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
      const bool beneath = taken.sum == 0 && found.max < taken.max - kFar;
      if (!(found.max < taken.max + kFar) || beneath) {  // the estimate was no measure for these
        const float sum = beneath ? 0.0f : taken.sum * std::exp(taken.max - found.max);
        taken = {found.max, sum};
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

}  // namespace list_search

void SearchLists(const ListSearch& search) {
  const int64_t groups = search.result->groups;
  ParallelFor(search.request.partition_count * groups, [&](int64_t task) {
    list_search::Group(search, task / groups, task % groups).Search();
  });
}

}  // namespace cairn
