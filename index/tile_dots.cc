// Debian 12's Highway has no operation for these products, and its target with VNNI asks for more
// than CPUs with AVX512-VNNI have, so this file chooses by itself.
#include "index/tile_dots.h"

#include <cstring>
#include <vector>

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define CAIRN_TILE_DOTS_X86
#endif

namespace cairn {
namespace {

#ifdef CAIRN_TILE_DOTS_X86

int32_t FourCodes(const int8_t* from) {
  int32_t four;
  std::memcpy(&four, from, sizeof(four));
  return four;
}

// One tile after the other: memory is read in order, which is what CPUs foresee, and the next
// tile's products begin while the last one's end.
template <int kRows>
__attribute__((target("avx512f,avx512bw,avx512vnni"))) void RowsVnni(const TileProducts& p,
                                                                     int64_t first,
                                                                     const uint8_t* ahead) {
  const int8_t* queries = p.queries + first * p.padded_dim;
  for (int64_t t = 0; t < p.count; ++t) {
    const uint8_t* tile = p.tiles + t * TileBytes(p.padded_dim);
    if (ahead != nullptr) {
      for (int64_t at = 0; at < TileBytes(p.padded_dim); at += 64) {
        _mm_prefetch(ahead + t * TileBytes(p.padded_dim) + at, _MM_HINT_T1);
      }
    }
    __m512i sum[kRows];
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sum[r] = _mm512_setzero_si512();
    for (int64_t c = 0; c < p.padded_dim; c += kCodesAtOnce) {
      const __m512i codes = _mm512_load_si512(tile + kTileVectors * c);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const __m512i query = _mm512_set1_epi32(FourCodes(queries + r * p.padded_dim + c));
        sum[r] = _mm512_dpbusd_epi32(sum[r], codes, query);
      }
    }
    int32_t* to = p.sums + first * p.stride + t * kTileVectors;
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) _mm512_store_si512(to + r * p.stride, sum[r]);
  }
}

void TileDotsVnni(const TileProducts& p) {
  const uint8_t* ahead = p.ahead;
  for (int64_t r = 0; r < p.rows; ahead = nullptr) {
    const int64_t left = p.rows - r;
    if (left >= 8) {
      RowsVnni<8>(p, r, ahead);
      r += 8;
    } else if (left >= 6) {
      RowsVnni<6>(p, r, ahead);
      r += 6;
    } else if (left >= 4) {
      RowsVnni<4>(p, r, ahead);
      r += 4;
    } else if (left >= 3) {
      RowsVnni<3>(p, r, ahead);
      r += 3;
    } else if (left >= 2) {
      RowsVnni<2>(p, r, ahead);
      r += 2;
    } else {
      RowsVnni<1>(p, r, ahead);
      r += 1;
    }
  }
}

// Half a tile at a time; products of bytes would saturate, so even and odd codes are widened.
__attribute__((target("avx2"))) void TileDotsAvx2(const TileProducts& p) {
  const __m256i low = _mm256_set1_epi16(0xff);
  for (int64_t half = 0; half < 2 * p.count; ++half) {
    const uint8_t* tile = p.tiles + half / 2 * TileBytes(p.padded_dim) + half % 2 * 32;
    for (int64_t r = 0; r < p.rows; ++r) {
      __m256i even_sum = _mm256_setzero_si256();
      __m256i odd_sum = _mm256_setzero_si256();
      for (int64_t c = 0; c < p.padded_dim; c += kCodesAtOnce) {
        const __m256i codes =
            _mm256_load_si256(reinterpret_cast<const __m256i*>(tile + kTileVectors * c));
        const __m256i query = _mm256_set1_epi32(FourCodes(p.queries + r * p.padded_dim + c));
        const __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(query, 8), 8);
        const __m256i odd = _mm256_srai_epi16(query, 8);
        even_sum =
            _mm256_add_epi32(even_sum, _mm256_madd_epi16(_mm256_and_si256(codes, low), even));
        odd_sum = _mm256_add_epi32(odd_sum, _mm256_madd_epi16(_mm256_srli_epi16(codes, 8), odd));
      }
      _mm256_store_si256(reinterpret_cast<__m256i*>(p.sums + r * p.stride + half * 8),
                         _mm256_add_epi32(even_sum, odd_sum));
    }
  }
}

#endif

}  // namespace

void TileDotsReference(const TileProducts& p) {
  for (int64_t t = 0; t < p.count; ++t) {
    for (int64_t r = 0; r < p.rows; ++r) {
      int32_t* to = p.sums + r * p.stride + t * kTileVectors;
      for (int64_t i = 0; i < kTileVectors; ++i) {
        int32_t sum = 0;
        for (int64_t c = 0; c < p.padded_dim; ++c) {
          const uint8_t code =
              p.tiles[t * TileBytes(p.padded_dim) +
                      (c / kCodesAtOnce * kTileVectors + i) * kCodesAtOnce + c % kCodesAtOnce];
          sum += int32_t{code} * int32_t{p.queries[r * p.padded_dim + c]};
        }
        to[i] = sum;
      }
    }
  }
}

std::span<const TileDotsTarget> TileDotsTargets() {
  static const std::vector<TileDotsTarget> targets = [] {
    std::vector<TileDotsTarget> found;
#ifdef CAIRN_TILE_DOTS_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vnni")) {
      found.push_back({"avx512-vnni", TileDotsVnni});
    }
    if (__builtin_cpu_supports("avx2")) found.push_back({"avx2", TileDotsAvx2});
#endif
    found.push_back({"plain", TileDotsReference});
    return found;
  }();
  return targets;
}

void TileDots(const TileProducts& products) {
  static const auto dots = TileDotsTargets().front().dots;
  dots(products);
}

}  // namespace cairn
