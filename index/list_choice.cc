// How a group chooses among what was scored: by the final log-sum-exp.
#include <algorithm>

#include "index/code_kernels.h"
#include "index/list_group.h"
#include "index/score_kernels.h"
#include "index/search_request.h"

namespace cairn::list_search {

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

// Scores what was found once more, by all bits of the queries and the final lse: some vectors at a
// time, as a head whose attention is spread out finds many.
void Group::WeighAgain() {
  constexpr size_t kAtOnce = 256;
  std::vector<Found>& found = scratch.found;
  const float least = scratch.top.threshold() - kSlack;
  std::erase_if(found, [&](const Found& one) { return one.weight < least; });
  constexpr size_t kStride = kAtOnce + 3;
  scratch.vectors.resize(kAtOnce * static_cast<size_t>(dim_));
  scratch.scores.resize(static_cast<size_t>(rows_) * kStride);
  for (size_t first = 0; first < found.size(); first += kAtOnce) {
    const size_t count = std::min(kAtOnce, found.size() - first);
    float* vector = scratch.vectors.data();
    for (size_t i = first; i < first + count; ++i, vector += dim_) {
      store_.Read(store_.lists()[static_cast<size_t>(found[i].list)], found[i].place, vector);
    }
    ScanScores(DType::kF32, reinterpret_cast<const std::byte*>(scratch.vectors.data()),
               static_cast<int64_t>(count), static_cast<int32_t>(dim_), queries_,
               static_cast<int32_t>(rows_), scratch.scores.data(), kStride);
    scratch.best.assign(count, kEmpty);
    FoldRows(scratch.scores.data(), kStride, static_cast<int32_t>(rows_), lse_,
             static_cast<int64_t>(count), scratch.best.data());
    for (size_t i = 0; i < count; ++i) found[first + i].weight = scratch.best[i];
  }
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
  int64_t blocks = 0;
  for (size_t i = 0; i < found.size(); ++blocks) {
    const int64_t block = block_of(i);
    float weight = kEmpty;
    for (; i < found.size() && block_of(i) == block; ++i) {
      weight = std::max(weight, found[i].weight);
    }
    scratch.top.Offer(weight, block);
  }
  scratch.top.Write(0, ordinals_, weights_);
  // Where scores are beyond f32 nothing may be found: k blocks are chosen all the same.
  int64_t* const end = ordinals_ + k_;
  int64_t* next = ordinals_ + std::min<int64_t>(blocks, k_);
  for (int64_t block = low_ / store_.representatives(); next != end; ++block) {
    if (std::find(ordinals_, next, block) != next) continue;
    weights_[next - ordinals_] = kEmpty;
    *next++ = block;
  }
}

}  // namespace cairn::list_search
