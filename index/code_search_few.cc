// Few rows over 8-bit codes: one task per partition and span of chunks gives each row's sum of
// exponentials and the largest score of each run of 16 blocks; then the best runs' blocks are
// scored again, one task per partition and group.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/parallel.h"
#include "index/block_runs.h"
#include "index/code_kernels.h"
#include "index/code_scores.h"
#include "index/exact_search.h"
#include "index/score_kernels.h"
#include "index/search_request.h"

namespace cairn {
namespace {

constexpr float kEmpty = -std::numeric_limits<float>::infinity();
constexpr int64_t kSpanChunks = 16;

// What the tasks of a search write down, with rows counted over all partitions.
struct Scores {
  const Runs& runs;
  int64_t spans;
  float* maxima;     // [P · rows, runs.stride]
  MaxAndSum* parts;  // [P · rows, spans]

  // Where the maxima of a chunk's runs go.
  float* runs_of(int64_t partition, int64_t row, int64_t chunk, int64_t rows) const {
    return maxima + (partition * rows + row) * runs.stride() + runs.Begin(chunk);
  }
};

// One task's memory.
struct CodeScratch {
  std::vector<float> raw;
  std::vector<float> folded;
  std::vector<float> best;
  std::vector<int64_t> chosen;
  std::vector<float> weights;
  std::vector<int64_t> ordinals;
  TopBlocks top;
};
thread_local CodeScratch code_scratch;

// Takes the scores of one row and piece, folded to blocks, into its sum and the runs' maxima.
void TakeScores(const float* folded, int64_t blocks, float* maxima, MaxAndSum* sum) {
  MaximaOfSixteens(folded, blocks, maxima);
  const float max = *std::max_element(maxima, maxima + (blocks + kRunBlocks - 1) / kRunBlocks);
  if (max > sum->max) *sum = {max, sum->sum * std::exp(sum->max - max)};
  sum->sum += SumOfExp(folded, blocks, sum->max);
}

// The same of sums whose vectors are blocks, in one pass. False if it must be done the long way,
// because the row's largest score so far is no measure for these.
bool TakeSums(const CodedSums& coded, int64_t row, int64_t blocks, float* maxima, MaxAndSum* sum) {
  constexpr float kFar = 60.0f;
  if (sum->sum == 0.0f) return false;
  const FoldedSums found = FoldSums(coded.high(row), coded.low(row), blocks, coded.unit[row],
                                    coded.offset[4 * row], sum->max, maxima);
  if (!(found.max < sum->max + kFar)) return false;
  sum->sum += found.sum;
  if (found.max > sum->max) *sum = {found.max, sum->sum * std::exp(sum->max - found.max)};
  return true;
}

void ScoreSpan(const ExactSearch& search, const Scores& scores, int64_t partition, int64_t span) {
  CodeScratch& scratch = code_scratch;
  const CodeStore& store = search.code_store(partition);
  const int64_t rows = search.request.rows;
  const int64_t stride = store.chunk_vectors() + kTileVectors;
  scratch.raw.resize(static_cast<size_t>(stride));
  scratch.folded.resize(static_cast<size_t>(store.chunk_blocks()));
  std::vector<MaxAndSum> sums(static_cast<size_t>(rows), {kEmpty, 0.0f});
  const int64_t last = std::min((span + 1) * kSpanChunks, search.range.chunks());
  for (int64_t i = span * kSpanChunks; i < last; ++i) {
    const ChunkRange piece = search.range.at(i);
    const bool coded = store.representatives() == 1 && piece.chunk < store.coded_chunks();
    for (int64_t first = 0; first < rows; first += kCodedRows) {
      const int64_t count = std::min(kCodedRows, rows - first);
      CodedSums found;
      if (coded) {
        found =
            SumCodes(store, piece.chunk, piece.begin, piece.blocks(),
                     search.queries_of(partition) + first * store.dim(), count, QueryBits::kFine);
      }
      uint32_t taken = 0;
      for (int64_t r = 0; r < count && coded; ++r) {
        if (TakeSums(found, r, piece.blocks(), scores.runs_of(partition, first + r, i, rows),
                     &sums[static_cast<size_t>(first + r)])) {
          taken |= 1u << r;
        }
      }
      for (int64_t r = 0; r < count; ++r) {
        if ((taken >> r & 1) != 0) continue;
        ScoreChunk(store, piece.chunk, piece.begin, piece.end,
                   search.queries_of(partition) + (first + r) * store.dim(), 1, QueryBits::kFine,
                   scratch.raw.data(), stride);
        const float* folded = scratch.raw.data();
        if (store.representatives() > 1) {
          FoldScores(folded, store.representatives(), piece.blocks(), scratch.folded.data());
          folded = scratch.folded.data();
        }
        TakeScores(folded, piece.blocks(), scores.runs_of(partition, first + r, i, rows),
                   &sums[static_cast<size_t>(first + r)]);
      }
    }
  }
  for (int64_t row = 0; row < rows; ++row) {
    scores.parts[(partition * rows + row) * scores.spans + span] = sums[static_cast<size_t>(row)];
  }
}

// The runs that weigh most, in ascending order, and their blocks, into code_scratch.
void GatherRuns(const ExactSearch& search, const Scores& scores, int64_t first, int32_t count,
                const float* lse) {
  CodeScratch& scratch = code_scratch;
  const auto k = static_cast<int32_t>(std::min(search.runs_scored_again(), scores.runs.count()));
  scratch.top.Reset(k);
  OfferBlocks(scores.maxima + first * scores.runs.stride(), scores.runs.stride(), count, lse,
              scores.runs.count(), &scratch.top);
  scratch.chosen.resize(static_cast<size_t>(k));
  scratch.weights.resize(static_cast<size_t>(k));
  scratch.top.Write(0, scratch.chosen.data(), scratch.weights.data());
  std::sort(scratch.chosen.begin(), scratch.chosen.end());
  scratch.ordinals.clear();
  for (const int64_t run : scratch.chosen) scores.runs.AppendBlocks(run, &scratch.ordinals);
}

// The weights of the gathered blocks for a group's rows, into code_scratch.best.
void WeighGathered(const ExactSearch& search, const Scores& scores, const GroupRows& rows) {
  CodeScratch& scratch = code_scratch;
  const CodeStore& store = search.code_store(rows.partition);
  const int64_t count = rows.end - rows.begin;
  const auto blocks = static_cast<int64_t>(scratch.ordinals.size());
  const int64_t stride = blocks * store.representatives() + 3;
  const float* queries = search.queries_of(rows.partition) + rows.begin * store.dim();
  scratch.raw.resize(static_cast<size_t>(count * stride));
  int64_t column = 0;
  for (const int64_t run : scratch.chosen) {
    const ChunkRange piece = scores.runs.Blocks(run);
    ScoreChunk(store, piece.chunk, piece.begin, piece.end, queries, count, QueryBits::kFine,
               scratch.raw.data() + column, stride);
    column += piece.blocks() * store.representatives();
  }
  scratch.best.assign(static_cast<size_t>(blocks), kEmpty);
  scratch.folded.resize(static_cast<size_t>(blocks));
  for (int64_t row = 0; row < count; ++row) {
    FoldScores(scratch.raw.data() + row * stride, store.representatives(), blocks,
               scratch.folded.data());
    FoldRows(scratch.folded.data(), blocks, 1, rows.lse + row, blocks, scratch.best.data());
  }
}

void ChooseForGroup(const ExactSearch& search, const Scores& scores, int64_t partition,
                    int64_t group) {
  CodeScratch& scratch = code_scratch;
  const GroupRows rows(search, partition, group);
  const int64_t first = partition * search.request.rows + rows.begin;
  const auto count = static_cast<int32_t>(rows.end - rows.begin);
  for (int64_t row = 0; row < count; ++row) {
    LseSum sum;
    for (int64_t i = 0; i < scores.spans; ++i) {
      sum.Add(scores.parts[(first + row) * scores.spans + i]);
    }
    rows.lse[row] = JoinLse(sum.Lse(), rows.lse[row]);
  }
  if (search.result->k == 0) return;
  GatherRuns(search, scores, first, count, rows.lse);
  WeighGathered(search, scores, rows);
  scratch.top.Reset(search.result->k);
  for (size_t i = 0; i < scratch.best.size(); ++i) {
    scratch.top.Offer(scratch.best[i], scratch.ordinals[i]);
  }
  scratch.top.Write(0, rows.ordinals, rows.weights);
}

}  // namespace

void SearchFewCodes(const ExactSearch& search) {
  thread_local std::vector<float> maxima;
  thread_local std::vector<MaxAndSum> parts;
  const SearchRequest& request = search.request;
  const int64_t rows = int64_t{request.partition_count} * request.rows;
  const Runs runs(search.range);
  const int64_t spans = (search.range.chunks() + kSpanChunks - 1) / kSpanChunks;
  maxima.resize(static_cast<size_t>(rows * runs.stride()));
  parts.resize(static_cast<size_t>(rows * spans));
  // Bodies run on other threads, whose vectors are not these.
  const Scores scores{runs, spans, maxima.data(), parts.data()};
  ParallelFor(request.partition_count * spans,
              [&](int64_t task) { ScoreSpan(search, scores, task / spans, task % spans); });
  ParallelFor(int64_t{request.partition_count} * search.result->groups, [&](int64_t task) {
    ChooseForGroup(search, scores, task / search.result->groups, task % search.result->groups);
  });
}

}  // namespace cairn
