// The arithmetic around TileDots: a query made ready for one chunk's steps, and its sums made
// scores. Vectorised with run-time dispatch; pure functions on pointers.
#pragma once

#include <cstdint>

namespace cairn {

/// q[c]·step[c] ≈ unit·(128·high[c] + low[c]) to one part in 32,512 of the largest; returns unit, 0
/// if all products are. `step` is bf16 [dim]; `high` and `low` have padded_dim codes each.
float SplitQuery(const float* query, const uint16_t* step, int64_t dim, int64_t padded_dim,
                 int8_t* high, int8_t* low);

/// scores[i] = offset + unit·(128·high[i] + low[i]) for `count` sums; `low` may be null for zeros.
void JoinSums(const int32_t* high, const int32_t* low, int64_t count, float unit, float offset,
              float* scores);

/// scores[i] = offset + unit·scale[i]·(128·(high[i] − high_bias) + low[i] − low_bias) for `count`
/// sums; scales are bf16; `low` may be null for low_bias everywhere. Returns the largest; count
/// ≥ 1. All arrays reach up to a multiple of 16 numbers; what lies past `count` is overwritten.
float JoinScaledSums(const int32_t* high, int32_t high_bias, const int32_t* low, int32_t low_bias,
                     int64_t count, float unit, float offset, const uint16_t* scales,
                     float* scores);

/// Which of `count` numbers are not below `least`, ascending, into `which`, with room for count +
/// 64; returns how many.
int64_t SelectFrom(const float* numbers, int64_t count, float least, int32_t* which);

/// What FoldSums finds.
struct FoldedSums {
  float max;
  float sum;  ///< Σ exp(score − reference)
};

/// Scores as JoinScaledSums makes them: best[i] = max(best[i], score − lse). They are kept if
/// `scores` is not null. Exponentials as FoldSums makes them; arrays as for JoinScaledSums.
FoldedSums FoldScaledSums(const int32_t* high, int32_t high_bias, const int32_t* low,
                          int32_t low_bias, int64_t count, float unit, float offset,
                          const uint16_t* scales, float reference, float lse, float* best,
                          float* scores);

/// Scores as JoinSums makes them, without keeping them; maxima[t] is
/// the largest of each 16, the last being short. Exponentials are right to 3 parts in a million
/// while no score is above reference + 80.
FoldedSums FoldSums(const int32_t* high, const int32_t* low, int64_t count, float unit,
                    float offset, float reference, float* maxima);

}  // namespace cairn
