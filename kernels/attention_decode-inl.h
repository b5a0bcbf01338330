// Attention of a few queries over one block: lanes of vectors run along D and every key and value
// row is read once for up to four queries, so that decoding runs at the speed of memory. Needs D to
// be a multiple of the vector.

// Per-target include guard.
#if defined(CAIRN_KERNELS_ATTENTION_DECODE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CAIRN_KERNELS_ATTENTION_DECODE_INL_H_
#undef CAIRN_KERNELS_ATTENTION_DECODE_INL_H_
#else
#define CAIRN_KERNELS_ATTENTION_DECODE_INL_H_
#endif

#include <cmath>
#include <cstdint>

#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"
#include "kernels/attention.h"
#include "kernels/attention_block-inl.h"
#include "kernels/attention_scratch.h"

HWY_BEFORE_NAMESPACE();
namespace cairn {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// Queries read for at once, and vectors of D summed at once, by the number of registers.
inline constexpr int32_t kSharedQueries = kLanes >= 16 ? 4 : 2;
inline constexpr int32_t kValueVectors = 4;

// The state of a few queries.
struct FewQueries {
  float* rotated;  // [queries, D], scaled and rotated for the block at hand
  float* acc;      // [queries, D], not normalised
  float* scores;   // [queries, score_stride]
  int64_t score_stride;
  float max[kFewQueries];
  float sum[kFewQueries];
  float keep[kFewQueries];  // acc = acc · keep + weight · (values of the block)
  float weight[kFewQueries];
};

// Asks for rows that are read soon; null asks for nothing. Blocks lie anywhere in memory, so the
// hardware cannot see the next one coming. Into the second cache: with the block at hand they would
// not fit into the first.
template <class T>
HWY_INLINE void PrefetchRows(const T* rows, int64_t first, int64_t count, int64_t dim) {
  if (rows == nullptr) return;
  constexpr int64_t kLine = 64 / sizeof(T);
  for (int64_t i = 0; i < count * dim; i += kLine) __builtin_prefetch(rows + first * dim + i, 0, 2);
}

// to[0, 4) = sums of the numbers at i, i + 4, i + 8, … of v.
template <class D>
HWY_INLINE void StoreSumOfQuarters(D d, hn::Vec<D> v, float* to) {
  if constexpr (hn::MaxLanes(D()) > 4) {
    const hn::Half<D> half;
    StoreSumOfQuarters(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)), to);
  } else {
    hn::StoreU(v, d, to);
  }
}

// to[i] = sum of v[i]'s lanes, for four vectors.
HWY_INLINE void StoreFourSums(const VF v[4], float* to) {
  const DF d;
  const hn::Repartition<double, DF> d64;
  const VF ab = hn::Add(hn::InterleaveLower(d, v[0], v[1]), hn::InterleaveUpper(d, v[0], v[1]));
  const VF cd = hn::Add(hn::InterleaveLower(d, v[2], v[3]), hn::InterleaveUpper(d, v[2], v[3]));
  const auto ab64 = hn::BitCast(d64, ab);
  const auto cd64 = hn::BitCast(d64, cd);
  const VF low = hn::BitCast(d, hn::InterleaveLower(d64, ab64, cd64));
  const VF high = hn::BitCast(d, hn::InterleaveUpper(d64, ab64, cd64));
  StoreSumOfQuarters(d, hn::Add(low, high), to);  // four sums in every 128 bits
}

// scores[q][t] = queries[q] · keys[t] for t in [0, rows), and up to three numbers more. `next` is
// asked for, as much as is read here.
template <class T, int kQueries>
HWY_INLINE void ScoreKeys(const T* HWY_RESTRICT keys, int64_t dim, int32_t rows,
                          const float* HWY_RESTRICT queries, float* HWY_RESTRICT scores,
                          int64_t score_stride, const T* next) {
  const DF d;
  for (int32_t t = 0; t < rows; t += 4) {
    PrefetchRows(next, t, 4, dim);
    const T* HWY_RESTRICT key0 = keys + t * dim;
    const T* HWY_RESTRICT key1 = keys + HWY_MIN(t + 1, rows - 1) * dim;
    const T* HWY_RESTRICT key2 = keys + HWY_MIN(t + 2, rows - 1) * dim;
    const T* HWY_RESTRICT key3 = keys + HWY_MIN(t + 3, rows - 1) * dim;
    VF sum[kQueries][4];
    HWY_UNROLL(4) for (int q = 0; q < kQueries; ++q) {
      HWY_UNROLL(4) for (int i = 0; i < 4; ++i) sum[q][i] = hn::Zero(d);
    }
    for (int64_t c = 0; c < dim; c += kLanes) {
      const VF k0 = LoadAsFloat(key0 + c);
      const VF k1 = LoadAsFloat(key1 + c);
      const VF k2 = LoadAsFloat(key2 + c);
      const VF k3 = LoadAsFloat(key3 + c);
      HWY_UNROLL(4) for (int q = 0; q < kQueries; ++q) {
        const VF query = hn::LoadU(d, queries + q * dim + c);
        sum[q][0] = hn::MulAdd(query, k0, sum[q][0]);
        sum[q][1] = hn::MulAdd(query, k1, sum[q][1]);
        sum[q][2] = hn::MulAdd(query, k2, sum[q][2]);
        sum[q][3] = hn::MulAdd(query, k3, sum[q][3]);
      }
    }
    HWY_UNROLL(4)
    for (int q = 0; q < kQueries; ++q) StoreFourSums(sum[q], scores + q * score_stride + t);
  }
}

// acc[q][c] = acc[q][c] · keep[q] + weight[q] · Σ_t scores[q][t] · values[t][c] for kVectors
// vectors of c; values that are codes count scales[c] times. `next` is asked for, row by row.
template <class T, int kQueries, int kVectors>
HWY_INLINE void AddValues(const T* HWY_RESTRICT values, const float* HWY_RESTRICT scales,
                          int64_t dim, int32_t rows, const float* HWY_RESTRICT scores,
                          int64_t score_stride, const float* keep, const float* weight,
                          float* HWY_RESTRICT acc, const T* next) {
  const DF d;
  VF sum[kQueries][kVectors];
  HWY_UNROLL(4) for (int q = 0; q < kQueries; ++q) {
    HWY_UNROLL(4) for (int v = 0; v < kVectors; ++v) sum[q][v] = hn::Zero(d);
  }
  for (int32_t t = 0; t < rows; ++t) {
    PrefetchRows(next, t, 1, dim);
    VF value[kVectors];
    HWY_UNROLL(4)
    for (int v = 0; v < kVectors; ++v) value[v] = LoadAsFloat(values + t * dim + v * kLanes);
    HWY_UNROLL(4) for (int q = 0; q < kQueries; ++q) {
      const VF p = hn::Set(d, scores[q * score_stride + t]);
      HWY_UNROLL(4)
      for (int v = 0; v < kVectors; ++v) sum[q][v] = hn::MulAdd(p, value[v], sum[q][v]);
    }
  }
  HWY_UNROLL(4) for (int q = 0; q < kQueries; ++q) {
    const VF old = hn::Set(d, keep[q]);
    const VF factor = hn::Set(d, weight[q]);
    HWY_UNROLL(4) for (int v = 0; v < kVectors; ++v) {
      float* at = acc + q * dim + v * kLanes;
      if constexpr (kCodes<T>) {
        sum[q][v] = hn::Mul(sum[q][v], hn::LoadU(d, scales + v * kLanes));
      }
      hn::StoreU(hn::MulAdd(sum[q][v], factor, hn::Mul(hn::LoadU(d, at), old)), d, at);
    }
  }
}

// scores[0, visible) become exp(score − max) and those up to `rows` 0. Returns max and sum in
// place.
HWY_INLINE void ExpScores(int32_t visible, int32_t rows, float* HWY_RESTRICT scores, float* max,
                          float* sum) {
  const DF d;
  const int32_t padded = static_cast<int32_t>(RoundUp(rows, kLanes));
  for (int32_t t = visible; t < padded; ++t) scores[t] = -HUGE_VALF;
  auto top = hn::Set(d, -HUGE_VALF);
  for (int32_t t = 0; t < padded; t += kLanes) top = hn::Max(top, hn::LoadU(d, scores + t));
  *max = hn::GetLane(hn::MaxOfLanes(d, top));
  const auto shift = hn::Set(d, *max == -HUGE_VALF ? 0.0f : *max);
  auto total = hn::Zero(d);
  for (int32_t t = 0; t < padded; t += kLanes) {
    const auto e = hn::Exp(d, hn::Sub(hn::LoadU(d, scores + t), shift));
    hn::StoreU(e, d, scores + t);
    total = hn::Add(total, e);
  }
  *sum = hn::GetLane(hn::SumOfLanes(d, total));
}

// Joins one query's scores of a block to its sums; see AttendParams for what it sees.
HWY_INLINE void JoinScores(const AttendParams& params, int32_t offset, int32_t read_rows, int q,
                           FewQueries* few) {
  const int32_t block_rows = params.shape.block_rows;
  float* scores = few->scores + q * few->score_stride;
  const bool earlier = params.mode == SoftmaxMode::kGrouped && offset >= block_rows;
  const float gate = earlier ? scores[block_rows - 1] : 0.0f;
  const int32_t visible = HWY_MAX(0, HWY_MIN(read_rows, offset + 1));
  float block_max;
  float block_sum;
  ExpScores(visible, read_rows, scores, &block_max, &block_sum);
  const float score = earlier ? gate : block_max;
  const float new_max = HWY_MAX(few->max[q], score);
  const float shift = new_max == -HUGE_VALF ? 0.0f : new_max;
  const float weight = std::exp(score - shift);
  few->keep[q] = std::exp(few->max[q] - shift);
  few->sum[q] = few->sum[q] * few->keep[q] + weight * (earlier ? 1.0f : block_sum);
  few->weight[q] = earlier && block_sum > 0.0f ? weight / block_sum : weight;
  few->max[q] = new_max;
}

// Adds the block to queries [first, first + kQueries), which are rotated for it. `next` is the
// payload of the block after it, or null.
template <class T, int kQueries>
HWY_INLINE void AddBlockToQueries(const AttendParams& params, const BlockRef& block, const T* next,
                                  int first, const int32_t* offsets, FewQueries* few) {
  const int64_t dim = params.shape.head_dim;
  const int32_t read_rows = ReadRows(params, block);
  const T* keys = reinterpret_cast<const T*>(block.payload);
  const T* values = keys + params.shape.block_rows * dim;
  float* scores = few->scores + first * few->score_stride;
  ScoreKeys<T, kQueries>(keys, dim, block.rows, few->rotated + first * dim, scores,
                         few->score_stride, next);
  for (int q = first; q < first + kQueries; ++q) {
    JoinScores(params, offsets[q], read_rows, q, few);
  }
  const float* keep = few->keep + first;
  const float* weight = few->weight + first;
  float* acc = few->acc + first * dim;
  const float* scales = kCodes<T> ? ScalesOf(params.shape, block.payload) + dim : nullptr;
  const auto scales_at = [scales](int64_t c) { return kCodes<T> ? scales + c : nullptr; };
  const T* next_values = next == nullptr ? nullptr : next + params.shape.block_rows * dim;
  int64_t c = 0;
  for (; c + kValueVectors * kLanes <= dim; c += kValueVectors * kLanes) {
    AddValues<T, kQueries, kValueVectors>(values + c, scales_at(c), dim, read_rows, scores,
                                          few->score_stride, keep, weight, acc + c,
                                          c == 0 ? next_values : nullptr);
  }
  for (; c < dim; c += kLanes) {
    AddValues<T, kQueries, 1>(values + c, scales_at(c), dim, read_rows, scores, few->score_stride,
                              keep, weight, acc + c, c == 0 ? next_values : nullptr);
  }
}

template <class T>
HWY_NOINLINE void FewBlock(const AttendParams& params, const BlockRef& block,
                           const std::byte* next_payload, int queries, const int32_t* offsets,
                           FewQueries* few) {
  const T* next = reinterpret_cast<const T*>(next_payload);
  if constexpr (kCodes<T>) {
    // Scaling queries once for the block's codes is as good as scaling its keys.
    const int64_t dim = params.shape.head_dim;
    const float* scales = ScalesOf(params.shape, block.payload);
    const DF d;
    for (int64_t i = 0; i < queries * dim; i += kLanes) {
      float* at = few->rotated + i;
      hn::StoreU(hn::Mul(hn::LoadU(d, at), hn::LoadU(d, scales + i % dim)), d, at);
    }
  }
  for (int q = 0; q < queries;) {
    const int left = queries - q;
    if (kSharedQueries >= 4 && left >= 4) {
      AddBlockToQueries<T, 4>(params, block, next, q, offsets, few);
      q += 4;
    } else if (kSharedQueries >= 4 && left == 3) {
      AddBlockToQueries<T, 3>(params, block, next, q, offsets, few);
      q += 3;
    } else if (left >= 2) {
      AddBlockToQueries<T, 2>(params, block, next, q, offsets, few);
      q += 2;
    } else {
      AddBlockToQueries<T, 1>(params, block, next, q, offsets, few);
      ++q;
    }
    next = nullptr;  // once is enough
  }
}

// out = scale · R(position) x in the table's own style, as keys are stored. D/2 need not be a
// multiple of the vector. x and out do not overlap.
HWY_INLINE void RotateScaled(const RopeTable& rope, int32_t position, float scale,
                             const float* HWY_RESTRICT x, float* HWY_RESTRICT out) {
  const int64_t dim = rope.head_dim();
  const int64_t half = dim / 2;
  const float* table = rope.at(position);
  if (rope.style() == RopeStyle::kHalfSplit) {
    RotateHalves(table, dim, scale, x, out);
    return;
  }
  const DF d;
  const VF factor = hn::Set(d, scale);
  int64_t c = 0;
  for (; c + kLanes <= half; c += kLanes) {
    VF a;
    VF b;
    hn::LoadInterleaved2(d, x + 2 * c, a, b);
    a = hn::Mul(a, factor);
    b = hn::Mul(b, factor);
    const VF cosine = hn::LoadU(d, table + c);
    const VF sine = hn::LoadU(d, table + half + c);
    hn::StoreInterleaved2(hn::NegMulAdd(b, sine, hn::Mul(a, cosine)),
                          hn::MulAdd(a, sine, hn::Mul(b, cosine)), d, out + 2 * c);
  }
  for (; c < half; ++c) {
    const float a = scale * x[2 * c];
    const float b = scale * x[2 * c + 1];
    out[2 * c] = a * table[c] - b * table[half + c];
    out[2 * c + 1] = b * table[c] + a * table[half + c];
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace cairn
HWY_AFTER_NAMESPACE();

#endif  // CAIRN_KERNELS_ATTENTION_DECODE_INL_H_
