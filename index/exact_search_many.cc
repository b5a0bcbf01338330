// Many rows. The k best blocks lie in the k best runs of 16: were block b one of the k and its run
// not, k runs would come before b's, each with a block that weighs more than b or as much with a
// lower ordinal. So one pass over all blocks gives each row's lse and each run's largest weight,
// and a second one over the k best runs' blocks alone makes the choice.
//
// Rows are worked on in tiles, in parallel; what tiles share is a maximum, which does not depend on
// their order.
#include <algorithm>
#include <limits>
#include <vector>

#include "base/matmul.h"
#include "base/parallel.h"
#include "index/block_runs.h"
#include "index/code_scores.h"
#include "index/exact_search.h"
#include "index/score_kernels.h"
#include "index/search_request.h"

namespace cairn {
namespace {

constexpr float kEmpty = -std::numeric_limits<float>::infinity();
constexpr int64_t kTileRows = 128;                // of one product, at most
constexpr int64_t kRunFloats = int64_t{2} << 20;  // of runs' maxima kept for one tile
constexpr int64_t kPad = RepresentativeStore::kPadding;

int64_t RoundUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// One task's memory.
struct TileScratch {
  std::vector<std::byte> queries;  // of the index's type
  std::vector<float> wide;         // queries and vectors as f32, where bf16 is not multiplied
  std::vector<float> raw;          // products
  std::vector<float> folded;       // one row's scores of one chunk
  std::vector<float> runs;         // [rows, runs]
  std::vector<LseSum> sums;        // [rows]
  std::vector<std::byte> vectors;  // candidates' representatives
  std::vector<int64_t> ordinals;   // candidates
  TopBlocks top;
};
thread_local TileScratch tile_scratch;

// raw[row][i] = queries[row] · vectors[i], both of the index's type. Where the CPU does not
// multiply bf16 they are widened first: the products are of the same numbers.
void Multiply(const ExactSearch& search, const std::byte* queries, const std::byte* vectors,
              int64_t rows, int64_t count, float* raw) {
  const int64_t dim = search.options.dim;
  const DType type = search.product_type();
  if (type == DType::kF32 || FastMatmulType() == DType::kBF16) {
    MultiplyTransposed(type, queries, vectors, raw, rows, count, dim);
    return;
  }
  std::vector<float>& wide = tile_scratch.wide;
  const auto query_floats = static_cast<size_t>(rows * dim);
  const auto vector_floats = static_cast<size_t>(count * dim);
  wide.resize(query_floats + vector_floats);
  ConvertToFloat(type, queries, wide.data(), query_floats);
  ConvertToFloat(type, vectors, wide.data() + query_floats, vector_floats);
  MultiplyTransposed(DType::kF32, wide.data(), wide.data() + query_floats, raw, rows, count, dim);
}

// Rounds a tile's queries to the index's type, with zero rows up to a multiple of 16, and returns
// that multiple: products have few shapes.
int64_t LoadQueries(const ExactSearch& search, int64_t partition, int64_t first, int64_t rows) {
  const int64_t padded = RoundUp(rows, 16);
  const int64_t dim = search.options.dim;
  tile_scratch.queries.assign(static_cast<size_t>(padded) * search.row_bytes(), std::byte{0});
  ConvertFromFloat(search.product_type(), search.queries_of(partition) + first * dim,
                   tile_scratch.queries.data(), static_cast<size_t>(rows * dim));
  return padded;
}

// Scores of vectors, rows `stride` apart, in tile_scratch.
struct RawScores {
  const float* first;
  int64_t stride;
};

// Scores of a piece's vectors for the queries in tile_scratch.
RawScores ScorePiece(const ExactSearch& search, int64_t partition, const ChunkRange& piece,
                     int64_t rows, int64_t padded) {
  TileScratch& scratch = tile_scratch;
  const int64_t representatives = search.options.representatives;
  if (search.codes()) {
    const int64_t stride = piece.blocks() * representatives + 3;
    scratch.raw.resize(static_cast<size_t>(rows * stride));
    ScoreChunk(search.code_store(partition), piece.chunk, piece.begin, piece.end,
               reinterpret_cast<const float*>(scratch.queries.data()), rows, QueryBits::kCoarse,
               scratch.raw.data(), stride);
    return {scratch.raw.data(), stride};
  }
  const int64_t low = piece.begin * representatives / kPad * kPad;
  const int64_t high = RoundUp(piece.end * representatives, kPad);
  scratch.raw.resize(static_cast<size_t>(padded * (high - low)));
  Multiply(
      search, scratch.queries.data(),
      search.store(partition).chunk(piece.chunk) + static_cast<size_t>(low) * search.row_bytes(),
      padded, high - low, scratch.raw.data());
  return {scratch.raw.data() + piece.begin * representatives - low, high - low};
}

// A block's vectors of the type that is multiplied.
void CopyBlock(const ExactSearch& search, int64_t partition, int64_t block, std::byte* to) {
  if (search.codes()) {
    search.code_store(partition).Read(block, reinterpret_cast<float*>(to));
    return;
  }
  const RepresentativeStore& store = search.store(partition);
  const size_t bytes = search.row_bytes() * static_cast<size_t>(search.options.representatives);
  std::copy_n(store.chunk(block / store.chunk_blocks()) +
                  static_cast<size_t>(block % store.chunk_blocks()) * bytes,
              bytes, to);
}

// First pass over all blocks for rows [first, first + rows) of a partition: their lse, joined with
// the caller's, and in tile_scratch.runs each run's largest score.
void ScoreRuns(const ExactSearch& search, const Runs& runs, int64_t partition, int64_t first,
               int64_t rows, float* lse) {
  TileScratch& scratch = tile_scratch;
  const int64_t padded = LoadQueries(search, partition, first, rows);
  scratch.folded.resize(static_cast<size_t>(search.range.chunk_blocks));
  scratch.runs.resize(static_cast<size_t>(rows * runs.stride()));
  scratch.sums.assign(static_cast<size_t>(rows), LseSum());
  for (int64_t i = 0; i < search.range.chunks(); ++i) {
    const ChunkRange piece = search.range.at(i);
    const RawScores raw = ScorePiece(search, partition, piece, rows, padded);
    for (int64_t row = 0; row < rows; ++row) {
      const float max = FoldScores(raw.first + row * raw.stride, search.options.representatives,
                                   piece.blocks(), scratch.folded.data());
      const float sum = SumOfExp(scratch.folded.data(), piece.blocks(), max);
      scratch.sums[static_cast<size_t>(row)].Add({max, sum});
      MaximaOfSixteens(scratch.folded.data(), piece.blocks(),
                       scratch.runs.data() + row * runs.stride() + runs.Begin(i));
    }
  }
  for (int64_t row = 0; row < rows; ++row) {
    lse[row] = JoinLse(scratch.sums[static_cast<size_t>(row)].Lse(), lse[row]);
  }
}

// The blocks of the k best runs, in ascending order, and their representatives, into tile_scratch.
// `maxima` is [rows, runs].
void GatherCandidates(const ExactSearch& search, const Runs& runs, int64_t partition,
                      const float* maxima, int32_t rows, const float* lse) {
  TileScratch& scratch = tile_scratch;
  const auto k = static_cast<int32_t>(std::min<int64_t>(search.runs_scored_again(), runs.count()));
  scratch.top.Reset(k);
  OfferBlocks(maxima, runs.stride(), rows, lse, runs.count(), &scratch.top);
  std::vector<int64_t> chosen(static_cast<size_t>(k));
  std::vector<float> weights(static_cast<size_t>(k));
  scratch.top.Write(0, chosen.data(), weights.data());
  std::sort(chosen.begin(), chosen.end());
  scratch.ordinals.clear();
  for (const int64_t run : chosen) runs.AppendBlocks(run, &scratch.ordinals);
  const size_t block_bytes =
      search.row_bytes() * static_cast<size_t>(search.options.representatives);
  const auto count = static_cast<int64_t>(scratch.ordinals.size());
  const int64_t vectors = RoundUp(count * search.options.representatives, kPad);
  scratch.vectors.assign(static_cast<size_t>(vectors) * search.row_bytes(), std::byte{0});
  for (int64_t i = 0; i < count; ++i) {
    CopyBlock(search, partition, scratch.ordinals[static_cast<size_t>(i)],
              scratch.vectors.data() + static_cast<size_t>(i) * block_bytes);
  }
}

// Second pass: best[i] = max(best[i], largest weight of candidate i among the rows).
void WeighCandidates(const ExactSearch& search, int64_t partition, int64_t first, int64_t rows,
                     const std::vector<std::byte>& vectors, int64_t candidates, const float* lse,
                     float* best) {
  TileScratch& scratch = tile_scratch;
  const int64_t padded = LoadQueries(search, partition, first, rows);
  const int64_t count = RoundUp(candidates * search.options.representatives, kPad);
  scratch.raw.resize(static_cast<size_t>(padded * count));
  Multiply(search, scratch.queries.data(), vectors.data(), padded, count, scratch.raw.data());
  scratch.folded.resize(static_cast<size_t>(candidates));
  for (int64_t row = 0; row < rows; ++row) {
    FoldScores(scratch.raw.data() + row * count, search.options.representatives, candidates,
               scratch.folded.data());
    FoldRows(scratch.folded.data(), candidates, 1, lse + row, candidates, best);
  }
}

void WriteChoice(const ExactSearch& search, const GroupRows& group,
                 const std::vector<int64_t>& ordinals, const float* best) {
  TopBlocks& top = tile_scratch.top;
  top.Reset(search.result->k);
  for (size_t i = 0; i < ordinals.size(); ++i) top.Offer(best[i], ordinals[i]);
  top.Write(0, group.ordinals, group.weights);
}

// Groups no larger than a tile: a task does all for whole groups.
void SearchWholeGroups(const ExactSearch& search, const Runs& runs, int64_t tile_rows) {
  const SearchRequest& request = search.request;
  const int64_t groups = search.result->groups;
  const int64_t tile_groups = std::max<int64_t>(1, tile_rows / request.rows_per_group);
  const int64_t tiles = (groups + tile_groups - 1) / tile_groups;
  ParallelFor(request.partition_count * tiles, [&](int64_t task) {
    const int64_t partition = task / tiles;
    const int64_t first_group = task % tiles * tile_groups;
    const int64_t last_group = std::min(first_group + tile_groups, groups) - 1;
    const GroupRows first(search, partition, first_group);
    const int64_t end = GroupRows(search, partition, last_group).end;
    ScoreRuns(search, runs, partition, first.begin, end - first.begin, first.lse);
    if (search.result->k == 0) return;
    for (int64_t g = first_group; g <= last_group; ++g) {
      const GroupRows group(search, partition, g);
      const int64_t rows = group.end - group.begin;
      GatherCandidates(search, runs, partition,
                       tile_scratch.runs.data() + (group.begin - first.begin) * runs.stride(),
                       static_cast<int32_t>(rows), group.lse);
      std::vector<float> best(tile_scratch.ordinals.size(), kEmpty);
      WeighCandidates(search, partition, group.begin, rows, tile_scratch.vectors,
                      static_cast<int64_t>(best.size()), group.lse, best.data());
      WriteChoice(search, group, tile_scratch.ordinals, best.data());
    }
  });
}

// A group's candidates while its rows are weighed by several tasks.
struct GroupCandidates {
  std::vector<int64_t> ordinals;
  std::vector<std::byte> vectors;
};

// Groups larger than a tile: every group's tiles are dealt out to `slices` tasks, which meet
// between the passes.
class LargeGroups {
 public:
  LargeGroups(const ExactSearch& search, const Runs& runs, int64_t tile_rows)
      : search_(search),
        runs_(runs),
        tile_rows_(tile_rows),
        units_(int64_t{search.request.partition_count} * search.result->groups) {
    const int64_t per_group = std::min(search.request.rows_per_group, search.request.rows);
    const int64_t tiles = (per_group + tile_rows - 1) / tile_rows;
    slices_ = std::clamp<int64_t>((int64_t{2} * Threads() + units_ - 1) / units_, 1, tiles);
    zeros_.assign(static_cast<size_t>(slices_), 0.0f);
  }

  void Search() {
    const int64_t stride = runs_.stride();
    best_.assign(static_cast<size_t>(units_ * slices_ * stride), kEmpty);
    ParallelFor(units_ * slices_, [&](int64_t task) {
      float* best = best_.data() + task * stride;
      ForTiles(task, [&](int64_t partition, int64_t first, int64_t rows, float* lse) {
        ScoreRuns(search_, runs_, partition, first, rows, lse);
        FoldRows(tile_scratch.runs.data(), stride, static_cast<int32_t>(rows), lse, runs_.count(),
                 best);
      });
    });
    if (search_.result->k == 0) return;
    candidates_.resize(static_cast<size_t>(units_));
    ParallelFor(units_, [&](int64_t unit) {
      GatherCandidates(search_, runs_, unit / search_.result->groups,
                       best_.data() + unit * slices_ * stride, static_cast<int32_t>(slices_),
                       zeros_.data());
      candidates_[static_cast<size_t>(unit)] = {tile_scratch.ordinals, tile_scratch.vectors};
    });
    Choose();
  }

 private:
  void Choose() {
    const int64_t most = std::min<int64_t>(search_.runs_scored_again(), runs_.count()) * kRunBlocks;
    best_.assign(static_cast<size_t>(units_ * slices_ * most), kEmpty);
    ParallelFor(units_ * slices_, [&](int64_t task) {
      const GroupCandidates& from = candidates_[static_cast<size_t>(task / slices_)];
      ForTiles(task, [&](int64_t partition, int64_t first, int64_t rows, const float* lse) {
        WeighCandidates(search_, partition, first, rows, from.vectors,
                        static_cast<int64_t>(from.ordinals.size()), lse,
                        best_.data() + task * most);
      });
    });
    ParallelFor(units_, [&](int64_t unit) {
      const GroupCandidates& from = candidates_[static_cast<size_t>(unit)];
      std::vector<float> best(from.ordinals.size(), kEmpty);
      FoldRows(best_.data() + unit * slices_ * most, most, static_cast<int32_t>(slices_),
               zeros_.data(), static_cast<int64_t>(best.size()), best.data());
      const int64_t groups = search_.result->groups;
      WriteChoice(search_, GroupRows(search_, unit / groups, unit % groups), from.ordinals,
                  best.data());
    });
  }

  // Calls body(partition, first row, rows, lse) for every tile of a task's slice.
  template <class Body>
  void ForTiles(int64_t task, const Body& body) const {
    const int64_t unit = task / slices_;
    const int64_t groups = search_.result->groups;
    const GroupRows group(search_, unit / groups, unit % groups);
    for (int64_t first = group.begin + task % slices_ * tile_rows_; first < group.end;
         first += slices_ * tile_rows_) {
      body(group.partition, first, std::min(tile_rows_, group.end - first),
           group.lse + (first - group.begin));
    }
  }

  const ExactSearch& search_;
  const Runs& runs_;
  const int64_t tile_rows_;
  const int64_t units_;  // groups of all partitions
  int64_t slices_ = 1;
  std::vector<float> zeros_;
  std::vector<float> best_;  // [units, slices, runs or candidates]
  std::vector<GroupCandidates> candidates_;
};

}  // namespace

void SearchManyRows(const ExactSearch& search) {
  const Runs runs(search.range);
  const int64_t fit = kRunFloats / runs.stride() / 16 * 16;
  const int64_t tile_rows = std::clamp<int64_t>(fit, 16, kTileRows);
  if (std::min(search.request.rows_per_group, search.request.rows) <= tile_rows) {
    SearchWholeGroups(search, runs, tile_rows);
  } else {
    LargeGroups(search, runs, tile_rows).Search();
  }
}

}  // namespace cairn
