// Cases of folding scores, for all implementations.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <ostream>
#include <string>
#include <vector>

#include "kernels/fold.h"
#include "tests/support/random.h"

namespace cairn {

struct FoldCase {
  std::string name;
  int32_t partitions = 1, rows = 1, rows_per_group = 1, blocks = 1, representatives = 1, k = 1;
  bool others = false;  ///< with a log-sum-exp of scores from elsewhere
  bool steps = false;   ///< scores are multiples of 1/2, so that many blocks are equal
};

inline void PrintTo(const FoldCase& from, std::ostream* os) { *os << from.name; }

inline std::vector<FoldCase> FoldCases() {
  return {{"one_block", 1, 1, 1, 1, 1, 1},
          {"one_row", 2, 1, 1, 300, 1, 7},
          {"equal_blocks", 2, 1, 1, 300, 1, 40, false, true},
          {"all_blocks", 1, 2, 1, 150, 2, 150, true, true},
          {"a_group", 3, 4, 4, 129, 1, 8, true},
          {"groups", 2, 9, 3, 200, 1, 5},
          {"a_short_group", 2, 7, 3, 64, 4, 9, true},
          {"few_blocks", 2, 6, 2, 5, 4, 3},
          {"choose_none", 2, 3, 3, 20, 2, 0, true},
          {"no_blocks", 1, 3, 3, 0, 1, 0, true},
          {"no_rows", 2, 0, 3, 20, 1, 4},
          {"long_past", 2, 4, 4, 2100, 1, 100, true},
          {"equal_in_long_past", 2, 1, 1, 2100, 1, 60, false, true},
          {"groups_of_long_past", 2, 5, 2, 1300, 1, 33, true},
          {"representatives_of_long_past", 1, 3, 3, 1500, 3, 20, true},
          {"many_rows_of_long_past", 1, 300, 300, 1100, 1, 9},
          {"lists_of_lists", 1, 2, 2, 9300, 1, 128, true},
          {"two_shares", 1, 1, 1, 1025, 1, 128},
          {"more_than_threads", 1, 2, 2, 1400, 1, 140, true}};
}

struct FoldOutcome {
  std::vector<float> lse;
  std::vector<int32_t> chosen;
  std::vector<float> log_weights;
};

struct FoldData {
  FoldData(const FoldCase& c, uint64_t seed) : from(c) {
    TestRandom random(seed);
    scores = random.Normals(static_cast<size_t>(c.partitions) * static_cast<size_t>(c.rows) *
                                static_cast<size_t>(c.blocks * c.representatives),
                            2.0f);
    if (c.steps) {
      for (float& score : scores) score = std::round(score * 2) / 2;
    }
    other_lse = random.Normals(static_cast<size_t>(c.partitions * c.rows), 3.0f);
  }

  size_t Row(int32_t partition, int32_t row) const {
    return static_cast<size_t>(partition * from.rows + row);
  }
  double BlockScore(int32_t partition, int32_t row, int32_t block) const {
    const float* first = scores.data() + (Row(partition, row) * static_cast<size_t>(from.blocks) +
                                          static_cast<size_t>(block)) *
                                             static_cast<size_t>(from.representatives);
    return *std::max_element(first, first + from.representatives);
  }

  template <class Function>
  FoldOutcome Run(const Function& fold) const {
    FoldParams params;
    params.partitions = from.partitions;
    params.rows = from.rows;
    params.rows_per_group = from.rows_per_group;
    params.blocks = from.blocks;
    params.representatives = from.representatives;
    params.k = from.k;
    FoldOutcome outcome;
    const auto places = static_cast<size_t>(from.partitions * params.groups() * from.k);
    outcome.lse.resize(other_lse.size(), std::numeric_limits<float>::quiet_NaN());
    outcome.chosen.resize(places, -7);
    outcome.log_weights.resize(places, std::numeric_limits<float>::quiet_NaN());
    params.scores = scores.data();
    params.other_lse = from.others ? other_lse.data() : nullptr;
    params.lse = outcome.lse.data();
    params.chosen = outcome.chosen.data();
    params.log_weights = outcome.log_weights.data();
    fold(params);
    return outcome;
  }

  FoldCase from;
  std::vector<float> scores;     ///< [P, rows, n, R]
  std::vector<float> other_lse;  ///< [P, rows]
};

}  // namespace cairn
