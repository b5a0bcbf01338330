#include "index/candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "index/top_blocks.h"

namespace cairn {
namespace {

// One thread's memory.
struct Scratch {
  std::vector<Candidate> blocks;
  std::vector<float> scores;
  TopBlocks top;
};
thread_local Scratch scratch;

bool Before(const Candidate& a, const Candidate& b) {
  return a.score > b.score || (a.score == b.score && a.block < b.block);
}

// log Σ exp(score).
float LseOf(const std::vector<Candidate>& candidates) {
  float top = -std::numeric_limits<float>::infinity();
  for (const Candidate& c : candidates) top = std::max(top, c.score);
  double sum = 0;
  for (const Candidate& c : candidates) sum += std::exp(static_cast<double>(c.score) - top);
  return top + static_cast<float>(std::log(sum));
}

// Without what was found.
void ScoreAll(int64_t blocks, int32_t k, const BlockScores& score, float* lse, Candidate* chosen) {
  std::vector<Candidate>& all = scratch.blocks;
  scratch.scores.resize(static_cast<size_t>(blocks));
  score(0, blocks, scratch.scores.data());
  all.clear();
  for (int64_t b = 0; b < blocks; ++b) all.push_back({b, scratch.scores[static_cast<size_t>(b)]});
  *lse = LseOf(all);
  std::partial_sort(all.begin(), all.begin() + k, all.end(), Before);
  std::copy_n(all.begin(), k, chosen);
}

}  // namespace

bool ChooseOfRow(int64_t blocks, int32_t k, std::vector<int64_t>* found, float limit,
                 const BlockScores& score, float* lse, Candidate* chosen) {
  std::sort(found->begin(), found->end());
  found->erase(std::unique(found->begin(), found->end()), found->end());
  std::vector<Candidate>& candidates = scratch.blocks;
  candidates.clear();
  for (const int64_t block : *found) {
    float one = 0;
    score(block, 1, &one);
    candidates.push_back({block, one});
  }
  std::sort(candidates.begin(), candidates.end(), Before);
  const auto count = static_cast<int64_t>(candidates.size());
  const bool certain =
      count > 0 && count >= k && (k == 0 || candidates[static_cast<size_t>(k) - 1].score > limit);
  if (count < blocks && !certain) {
    ScoreAll(blocks, k, score, lse, chosen);
    return true;
  }
  *lse = LseOf(candidates);
  std::copy_n(candidates.begin(), k, chosen);
  return count == blocks;
}

void FoldGroup(const SearchRequest& request, int64_t partition, int64_t group,
               const Candidate* chosen, SearchResult* result) {
  const int64_t k = result->k;
  const int64_t base = partition * request.rows;
  const int64_t begin = base + group * request.rows_per_group;
  const int64_t end = std::min(begin + request.rows_per_group, base + request.rows);
  std::vector<Candidate>& all = scratch.blocks;
  all.clear();
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t i = 0; i < k; ++i) {
      const Candidate& c = chosen[row * k + i];
      all.push_back({c.block, c.score - result->lse[static_cast<size_t>(row)]});
    }
  }
  std::sort(all.begin(), all.end(), [](const Candidate& a, const Candidate& b) {
    return a.block < b.block || (a.block == b.block && a.score > b.score);
  });
  scratch.top.Reset(result->k);
  for (size_t i = 0; i < all.size(); ++i) {
    if (i == 0 || all[i].block != all[i - 1].block) scratch.top.Offer(all[i].score, all[i].block);
  }
  const int64_t at = (partition * result->groups + group) * k;
  scratch.top.Write(request.begin, result->ordinals.data() + at, result->log_weights.data() + at);
}

}  // namespace cairn
