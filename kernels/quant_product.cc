// QuantProduct for CPUs: picks the instruction set at run time.
#include "kernels/quant_product.h"

#include <cstring>

#include "base/check.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quant_product.cc"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace cairn {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using DF = hn::CappedTag<float, kQuantRows>;
using DI = hn::RebindToSigned<DF>;
using DU = hn::RebindToUnsigned<DF>;
using DH = hn::Rebind<hwy::float16_t, DF>;
using VF = hn::Vec<DF>;
using VI = hn::Vec<DI>;
using VU = hn::Vec<DU>;

// sum[i] += the products of both 16-bit halves of a[i] and b[i].
HWY_INLINE VI AddPairs(VU a, VU b, VI sum) {
  const DI d;
#if HWY_ARCH_X86 && HWY_TARGET != HWY_SCALAR && HWY_TARGET != HWY_EMU128
  const hn::Repartition<int16_t, DI> d16;
  VI unused = hn::Zero(d);  // on this architecture neighbours are what is added
  return hn::ReorderWidenMulAccumulate(d, hn::BitCast(d16, a), hn::BitCast(d16, b), sum, unused);
#else
  const VI x = hn::BitCast(d, a);
  const VI y = hn::BitCast(d, b);
  const VI low =
      hn::Mul(hn::ShiftRight<16>(hn::ShiftLeft<16>(x)), hn::ShiftRight<16>(hn::ShiftLeft<16>(y)));
  return hn::Add(sum, hn::Add(low, hn::Mul(hn::ShiftRight<16>(x), hn::ShiftRight<16>(y))));
#endif
}

// Both codes of a pair of the vector, in every lane.
HWY_INLINE VU PairOf(const int16_t* codes, int32_t pair) {
  uint32_t both;
  std::memcpy(&both, codes + 2 * pair, sizeof both);
  return hn::Set(DU(), both);
}

// Σ of the products of kWords words of each row, from word 0 of `words`.
template <int kBits, int kWords>
HWY_INLINE VI SumWords(const uint32_t* HWY_RESTRICT words, const int16_t* HWY_RESTRICT codes) {
  const DU du;
  const VU mask = hn::Set(du, kBits == 4 ? 0x000F000Fu : 0x00FF00FFu);
  VI sum[4];  // apart, so that one need not wait for the other
  HWY_UNROLL(4) for (int i = 0; i < 4; ++i) sum[i] = hn::Zero(DI());
  HWY_UNROLL(8) for (int w = 0; w < kWords; ++w) {
    const VU word = hn::LoadU(du, words + w * kQuantRows);
    if constexpr (kBits == 4) {
      const int32_t p = 4 * w;
      sum[0] = AddPairs(hn::And(word, mask), PairOf(codes, p), sum[0]);
      sum[1] = AddPairs(hn::And(hn::ShiftRight<4>(word), mask), PairOf(codes, p + 1), sum[1]);
      sum[2] = AddPairs(hn::And(hn::ShiftRight<8>(word), mask), PairOf(codes, p + 2), sum[2]);
      sum[3] = AddPairs(hn::And(hn::ShiftRight<12>(word), mask), PairOf(codes, p + 3), sum[3]);
    } else {
      const int32_t p = 2 * w;
      VI& even = sum[w % 2 * 2];
      VI& odd = sum[w % 2 * 2 + 1];
      even = AddPairs(hn::And(word, mask), PairOf(codes, p), even);
      odd = AddPairs(hn::And(hn::ShiftRight<8>(word), mask), PairOf(codes, p + 1), odd);
    }
  }
  return hn::Add(hn::Add(sum[0], sum[1]), hn::Add(sum[2], sum[3]));
}

template <int kBits, int kGroup>
HWY_NOINLINE void Tiles(const QuantShape& shape, const std::byte* pack, const QuantVector& x,
                        int64_t begin, int64_t end, float* y) {
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(DF()));
  constexpr int kGroups = kQuantPiece / kGroup;
  constexpr int kWords = kBits == 4 ? kGroup / 8 : kGroup / 4;  // of a group
  const DF df;
  const size_t piece_bytes = shape.piece_bytes();
  HWY_ALIGN float rows[kQuantRows];
  for (int64_t tile = begin; tile < end; ++tile) {
    const std::byte* piece = pack + static_cast<size_t>(tile) * shape.tile_bytes();
    VF sum[kQuantRows / kLanes];
    for (auto& s : sum) s = hn::Zero(df);
    for (int64_t p = 0; p < shape.pieces(); ++p, piece += piece_bytes) {
      const auto* words = reinterpret_cast<const uint32_t*>(piece);
      const auto* scales = reinterpret_cast<const hwy::float16_t*>(piece + shape.code_bytes());
      const VF factor = hn::Set(df, x.scales[p]);
      HWY_UNROLL(2) for (int g = 0; g < kGroups; ++g) {
        const int16_t* codes = x.codes + p * kQuantPiece + g * kGroup;
        const VF offset = hn::Set(df, x.sums[p * kGroups + g]);
        HWY_UNROLL(4) for (int v = 0; v < kQuantRows / kLanes; ++v) {
          const int at = v * kLanes;
          const VI product = SumWords<kBits, kWords>(words + g * kWords * kQuantRows + at, codes);
          const auto* scale = scales + g * kQuantRows + at;
          const VF weight = hn::Mul(hn::PromoteTo(df, hn::LoadU(DH(), scale)), factor);
          const VF minimum = hn::PromoteTo(df, hn::LoadU(DH(), scale + kGroups * kQuantRows));
          sum[v] =
              hn::MulAdd(hn::ConvertTo(df, product), weight, hn::MulAdd(minimum, offset, sum[v]));
        }
      }
    }
    for (int v = 0; v < kQuantRows / kLanes; ++v) hn::Store(sum[v], df, rows + v * kLanes);
    const int64_t first = tile * kQuantRows;
    const int64_t count = HWY_MIN(shape.n - first, kQuantRows);
    std::memcpy(y + first, rows, static_cast<size_t>(count) * sizeof(float));
  }
}

// As QuantizeVectorReference, to the bit: only exact sums are taken in another order.
void QuantizeOn(const QuantShape& shape, const float* x, const QuantVector& vector) {
  constexpr int kLanes = static_cast<int>(hn::MaxLanes(DF()));
  const DF df;
  const hn::Rebind<int16_t, DF> d16;
  for (int64_t piece = 0; piece < shape.pieces(); ++piece) {
    const float* from = x + piece * kQuantPiece;
    VF top = hn::Zero(df);
    for (int i = 0; i < kQuantPiece; i += kLanes) {
      top = hn::Max(top, hn::Abs(hn::LoadU(df, from + i)));
    }
    const float largest = hn::GetLane(hn::MaxOfLanes(df, top));
    const bool zero = largest < kSmallestLargest;
    const float scale = zero ? 0.0f : largest / kHighestQuantCode;
    const VF inverse = hn::Set(df, zero ? 0.0f : kHighestQuantCode / largest);
    vector.scales[piece] = scale;
    for (int32_t g = 0; g < shape.groups(); ++g) {
      VI sum = hn::Zero(DI());
      for (int32_t i = g * shape.group; i < (g + 1) * shape.group; i += kLanes) {
        const VI code = hn::NearestInt(hn::Mul(hn::LoadU(df, from + i), inverse));
        hn::StoreU(hn::DemoteTo(d16, code), d16, vector.codes + piece * kQuantPiece + i);
        sum = hn::Add(sum, code);
      }
      const int32_t total = hn::GetLane(hn::SumOfLanes(DI(), sum));
      vector.sums[piece * shape.groups() + g] = scale * static_cast<float>(total);
    }
  }
}

void ProductOn(const QuantShape& shape, const std::byte* pack, const QuantVector& x, int64_t begin,
               int64_t end, float* y) {
  if (shape.code_bits == 4) {
    return shape.group == 16 ? Tiles<4, 16>(shape, pack, x, begin, end, y)
                             : Tiles<4, 32>(shape, pack, x, begin, end, y);
  }
  return shape.group == 16 ? Tiles<8, 16>(shape, pack, x, begin, end, y)
                           : Tiles<8, 32>(shape, pack, x, begin, end, y);
}

}  // namespace HWY_NAMESPACE
}  // namespace cairn
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cairn {

HWY_EXPORT(ProductOn);
HWY_EXPORT(QuantizeOn);

void QuantizeVector(const QuantShape& shape, const float* x, const QuantVector& vector) {
  HWY_DYNAMIC_DISPATCH(QuantizeOn)(shape, x, vector);
}

void QuantProduct(const QuantShape& shape, const std::byte* pack, const QuantVector& x,
                  int64_t begin, int64_t end, float* y) {
  CAIRN_CHECK(shape.k % kQuantPiece == 0 && begin >= 0 && end <= shape.tiles());
  HWY_DYNAMIC_DISPATCH(ProductOn)(shape, pack, x, begin, end, y);
}

}  // namespace cairn
#endif
