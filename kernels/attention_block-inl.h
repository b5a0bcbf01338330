// Rows of queries, keys and values as the kernels want them: f32, rotated, half-split.
//
// A rotation by a difference of positions can be split between query and key:
// R(a)q · R(b)R(t)k = R(a − b)q · R(t)k. Rotating the keys of a block once by its distance from the
// first block, and each query once by its own, costs less than rotating queries for every block.

// Per-target include guard.
#if defined(CAIRN_KERNELS_ATTENTION_BLOCK_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CAIRN_KERNELS_ATTENTION_BLOCK_INL_H_
#undef CAIRN_KERNELS_ATTENTION_BLOCK_INL_H_
#else
#define CAIRN_KERNELS_ATTENTION_BLOCK_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/attention.h"

HWY_BEFORE_NAMESPACE();
namespace cairn {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::ScalableTag<float>;
using VF = hn::Vec<DF>;
inline constexpr int32_t kLanes = static_cast<int32_t>(hn::MaxLanes(DF()));

template <class T>
inline constexpr bool kCodes = hwy::IsSame<T, int8_t>();

template <class T>
HWY_INLINE VF LoadAsFloat(const T* HWY_RESTRICT from) {
  const DF d;
  if constexpr (hwy::IsSame<T, float>()) {
    return hn::LoadU(d, from);
  } else if constexpr (kCodes<T>) {
    const hn::RebindToSigned<DF> whole;
    return hn::ConvertTo(d, hn::PromoteTo(whole, hn::LoadU(hn::Rebind<int8_t, DF>(), from)));
  } else {
    return hn::PromoteTo(d, hn::LoadU(hn::Rebind<T, DF>(), from));
  }
}

template <class T>
inline constexpr DType kTypeOf = hwy::IsSame<T, float>()            ? DType::kF32
                                 : hwy::IsSame<T, hwy::float16_t>() ? DType::kF16
                                                                    : DType::kBF16;

// to[0, count) = from[0, count).
template <class T>
HWY_INLINE void CopyAsFloat(const T* HWY_RESTRICT from, int64_t count, float* HWY_RESTRICT to) {
  const DF d;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) hn::StoreU(LoadAsFloat(from + i), d, to + i);
  if (i < count) ConvertToFloat(kTypeOf<T>, from + i, to + i, static_cast<size_t>(count - i));
}

// to[0, count) = codes[0, count) · scales[0, count).
HWY_INLINE void CopyScaled(const int8_t* HWY_RESTRICT codes, const float* HWY_RESTRICT scales,
                           int64_t count, float* HWY_RESTRICT to) {
  const DF d;
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    hn::StoreU(hn::Mul(LoadAsFloat(codes + i), hn::LoadU(d, scales + i)), d, to + i);
  }
  for (; i < count; ++i) to[i] = static_cast<float>(codes[i]) * scales[i];
}

// Scales of a payload of codes: of the keys' channels, and `dim` further those of the values'.
HWY_INLINE const float* ScalesOf(const BlockShape& shape, const std::byte* payload) {
  return reinterpret_cast<const float*>(payload + shape.scales_offset());
}

// out = scale · R x with the halves of every pair at c and c + D/2, `table` being the angle's
// cosines and sines and x a row whose pairs are already so. x and out do not overlap.
template <class T>
HWY_INLINE void RotateHalves(const float* HWY_RESTRICT table, int64_t dim, float scale,
                             const T* HWY_RESTRICT x, float* HWY_RESTRICT out) {
  const DF d;
  const int64_t half = dim / 2;
  const auto factor = hn::Set(d, scale);
  int64_t c = 0;
  for (; c + kLanes <= half; c += kLanes) {
    const auto a = hn::Mul(LoadAsFloat(x + c), factor);
    const auto b = hn::Mul(LoadAsFloat(x + half + c), factor);
    const auto cosine = hn::LoadU(d, table + c);
    const auto sine = hn::LoadU(d, table + half + c);
    hn::StoreU(hn::NegMulAdd(b, sine, hn::Mul(a, cosine)), d, out + c);
    hn::StoreU(hn::MulAdd(a, sine, hn::Mul(b, cosine)), d, out + half + c);
  }
  for (; c < half; ++c) {
    float a;
    float b;
    ConvertToFloat(kTypeOf<T>, x + c, &a, 1);
    ConvertToFloat(kTypeOf<T>, x + half + c, &b, 1);
    a *= scale;
    b *= scale;
    out[c] = a * table[c] - b * table[half + c];
    out[half + c] = b * table[c] + a * table[half + c];
  }
}

// The same for a row in the table's own style: products of two such rows are products of the
// rotated rows, whatever the style. `row` holds D floats.
template <class T>
HWY_INLINE void RotateToHalves(const RopeTable& rope, int32_t position, float scale,
                               const T* HWY_RESTRICT x, float* HWY_RESTRICT row,
                               float* HWY_RESTRICT out) {
  const int64_t dim = rope.head_dim();
  const float* table = rope.at(position);
  if (rope.style() == RopeStyle::kHalfSplit) {
    RotateHalves(table, dim, scale, x, out);
    return;
  }
  CopyAsFloat(x, dim, out);
  const int64_t half = dim / 2;
  const DF d;
  int64_t c = 0;
  for (; c + kLanes <= half; c += kLanes) {
    VF a;
    VF b;
    hn::LoadInterleaved2(d, out + 2 * c, a, b);
    hn::StoreU(a, d, row + c);
    hn::StoreU(b, d, row + half + c);
  }
  for (; c < half; ++c) {
    row[c] = out[2 * c];
    row[half + c] = out[2 * c + 1];
  }
  RotateHalves(table, dim, scale, row, out);
}

// Rows of a block whose values are read: in grouped mode the landmark is a gate.
HWY_INLINE int32_t ReadRows(const AttendParams& params, const BlockRef& block) {
  const bool grouped = params.mode == SoftmaxMode::kGrouped;
  return grouped ? HWY_MIN(block.rows, params.shape.block_rows - 1) : block.rows;
}

// A block's rows as floats. Rows of keys past block.rows, up to a multiple of kRowPadding, and
// columns of values past D are zero.
struct FloatBlock {
  const float* keys;    // [padded rows, D], rotated by the block's distance, half-split
  const float* values;  // [rows, value_stride]
  int64_t value_stride;
};

struct BlockBuffers {
  float* row;     // two rows of padded D
  float* keys;    // [padded rows, D]
  float* values;  // [B, padded D]
};

template <class T>
HWY_NOINLINE FloatBlock LoadBlock(const AttendParams& params, const BlockRef& block,
                                  int32_t distance, int64_t padded_dim, int64_t padded_rows,
                                  const BlockBuffers& buffers) {
  const int64_t dim = params.shape.head_dim;
  const T* keys = reinterpret_cast<const T*>(block.payload);
  const T* values = keys + params.shape.block_rows * dim;
  const float* scales = kCodes<T> ? ScalesOf(params.shape, block.payload) : nullptr;
  for (int64_t row = 0; row < block.rows; ++row) {
    if constexpr (kCodes<T>) {
      float* plain = buffers.row + padded_dim;
      CopyScaled(keys + row * dim, scales, dim, plain);
      RotateToHalves(*params.rope, distance, 1.0f, plain, buffers.row, buffers.keys + row * dim);
    } else {
      RotateToHalves(*params.rope, distance, 1.0f, keys + row * dim, buffers.row,
                     buffers.keys + row * dim);
    }
  }
  for (int64_t i = block.rows * dim; i < padded_rows * dim; ++i) buffers.keys[i] = 0.0f;
  if constexpr (!kCodes<T>) {
    if (padded_dim == dim) CopyAsFloat(values, block.rows * dim, buffers.values);
  }
  if (kCodes<T> || padded_dim != dim) {
    for (int64_t row = 0; row < block.rows; ++row) {
      float* target = buffers.values + row * padded_dim;
      if constexpr (kCodes<T>) {
        CopyScaled(values + row * dim, scales + dim, dim, target);
      } else {
        CopyAsFloat(values + row * dim, dim, target);
      }
      for (int64_t c = dim; c < padded_dim; ++c) target[c] = 0.0f;
    }
  }
  return {buffers.keys, buffers.values, padded_dim};
}

}  // namespace HWY_NAMESPACE
}  // namespace cairn
HWY_AFTER_NAMESPACE();

#endif  // CAIRN_KERNELS_ATTENTION_BLOCK_INL_H_
