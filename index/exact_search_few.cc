// Few rows: one task per partition and chunk scans and keeps every score, then one task per
// partition and group chooses.
#include <algorithm>
#include <vector>

#include "base/parallel.h"
#include "index/exact_search.h"
#include "index/score_kernels.h"
#include "index/search_request.h"

namespace cairn {
namespace {

// What a search writes down, with rows counted over all partitions.
struct Scores {
  const float* queries;  // [P · rows, D], rounded as the representatives are
  float* scores;         // [P · rows, stride]
  int64_t stride;
  MaxAndSum* parts;  // [P · rows, chunks]
};

void ScanChunk(const ExactSearch& search, const Scores& scores, int64_t partition, int64_t chunk) {
  const int64_t rows = search.request.rows;
  const int32_t representatives = search.options.representatives;
  const ChunkRange piece = search.range.at(chunk);
  const int64_t vectors = piece.blocks() * representatives;
  const int64_t raw_stride = vectors + 3;
  thread_local std::vector<float> raw;
  raw.resize(static_cast<size_t>(raw_stride * rows));
  const std::byte* first = search.store(partition).chunk(piece.chunk) +
                           static_cast<size_t>(piece.begin * representatives) * search.row_bytes();
  ScanScores(search.options.dtype, first, vectors, search.options.dim,
             scores.queries + partition * rows * search.options.dim, search.request.rows,
             raw.data(), raw_stride);
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t at = partition * rows + row;
    float* folded = scores.scores + at * scores.stride + piece.offset;
    const float max =
        FoldScores(raw.data() + row * raw_stride, representatives, piece.blocks(), folded);
    scores.parts[at * search.range.chunks() + chunk] = {max, SumOfExp(folded, piece.blocks(), max)};
  }
}

void ChooseForGroup(const ExactSearch& search, const Scores& scores, int64_t partition,
                    int64_t group) {
  const GroupRows rows(search, partition, group);
  const int64_t first = partition * search.request.rows + rows.begin;
  const int64_t count = rows.end - rows.begin;
  for (int64_t row = 0; row < count; ++row) {
    LseSum sum;
    for (int64_t i = 0; i < search.range.chunks(); ++i) {
      sum.Add(scores.parts[(first + row) * search.range.chunks() + i]);
    }
    rows.lse[row] = JoinLse(sum.Lse(), rows.lse[row]);
  }
  if (search.result->k == 0) return;
  thread_local TopBlocks top;
  top.Reset(search.result->k);
  OfferBlocks(scores.scores + first * scores.stride, scores.stride, static_cast<int32_t>(count),
              rows.lse, search.range.blocks(), &top);
  top.Write(search.range.begin, rows.ordinals, rows.weights);
}

}  // namespace

void SearchFewRows(const ExactSearch& search) {
  thread_local std::vector<float> queries;
  thread_local std::vector<float> all;
  thread_local std::vector<MaxAndSum> parts;
  const SearchRequest& request = search.request;
  const int64_t rows = int64_t{request.partition_count} * request.rows;
  const int64_t chunks = search.range.chunks();
  const int64_t stride = (search.range.blocks() + 15) / 16 * 16;
  queries.assign(request.queries, request.queries + rows * search.options.dim);
  if (search.options.dtype == DType::kBF16) {
    for (float& x : queries) x = Bf16ToFloat(FloatToBf16(x));
  }
  all.resize(static_cast<size_t>(rows * stride));
  parts.resize(static_cast<size_t>(rows * chunks));
  // Bodies run on other threads, whose vectors are not these.
  const Scores scores{queries.data(), all.data(), stride, parts.data()};
  ParallelFor(request.partition_count * chunks,
              [&](int64_t task) { ScanChunk(search, scores, task / chunks, task % chunks); });
  ParallelFor(int64_t{request.partition_count} * search.result->groups, [&](int64_t task) {
    ChooseForGroup(search, scores, task / search.result->groups, task % search.result->groups);
  });
}

}  // namespace cairn
