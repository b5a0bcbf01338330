// What indexes that search by FAISS do alike. FAISS finds vectors of large scores, in an order and
// with rounding of its own; here their blocks are scored again, one by one, and chosen.
//
// A group's k best are among its rows' k best: if block b's weight comes from row r and k blocks
// come before b in that row, they weigh at least as much as b in the group, so b is not chosen. So
// each row's k best candidates, with its lse, are all that the fold needs. Internal to index/.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "index/landmark_index.h"

namespace cairn {

/// A block, counted from the first of the search, and its score.
struct Candidate {
  int64_t block;
  float score;
};

/// Writes the scores of blocks [first, first + count) for the row at hand. Equal blocks must get
/// equal scores.
using BlockScores = std::function<void(int64_t first, int64_t count, float* scores)>;

/// Chooses the row's k best of `blocks` blocks, best first and ties by ordinal, into chosen[k];
/// `lse` is the log-sum-exp of all scores, or of those of `found` alone. `found` names blocks, in
/// any order and more than once, and is changed; none that it leaves out scores more than `limit`.
/// Where that does not tell the k best for certain, all blocks are scored. Returns whether `lse` is
/// of all blocks. `blocks` ≥ max(k, 1).
bool ChooseOfRow(int64_t blocks, int32_t k, std::vector<int64_t>* found, float limit,
                 const BlockScores& score, float* lse, Candidate* chosen);

/// Folds the rows of one group and writes its choice into `result`, whose lse are final. `chosen`
/// is of the whole request: [P, rows, k].
void FoldGroup(const SearchRequest& request, int64_t partition, int64_t group,
               const Candidate* chosen, SearchResult* result);

}  // namespace cairn
