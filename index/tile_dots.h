// Inner products of 8-bit queries with 8-bit vectors that lie in tiles. Sums of integers: every CPU
// gets the same bits.
//
// A tile holds 16 vectors: for every four dimensions, the four codes of vector 0, of vector 1, and
// so on, 64 bytes in all. So one instruction of AVX-512 VNNI adds to the sums of 16 vectors, and
// nothing is summed across lanes.
#pragma once

#include <cstdint>
#include <span>

namespace cairn {

inline constexpr int64_t kTileVectors = 16;
/// Of one instruction: dimensions are padded to a multiple.
inline constexpr int64_t kCodesAtOnce = 4;
inline constexpr int64_t TileBytes(int64_t padded_dim) { return kTileVectors * padded_dim; }
/// Where a vector's code of a dimension lies in tiles that follow each other.
inline constexpr int64_t CodeOffset(int64_t vector, int64_t dimension, int64_t padded_dim) {
  return vector / kTileVectors * TileBytes(padded_dim) +
         (dimension / kCodesAtOnce * kTileVectors + vector % kTileVectors) * kCodesAtOnce +
         dimension % kCodesAtOnce;
}

/// What to multiply, and where the sums go:
/// sums[r·stride + 16·t + i] = Σ_c code of vector i of tile t at c, times queries[r][c].
struct TileProducts {
  const uint8_t* tiles;  ///< `count` of them, codes 0 to 255; aligned to 64 bytes
  int64_t count;
  int64_t padded_dim;     ///< ≤ 4,096
  const int8_t* queries;  ///< [rows, padded_dim]
  int64_t rows;
  int32_t* sums;                   ///< aligned to 64 bytes
  int64_t stride;                  ///< ≥ 16·count, a multiple of 16
  const uint8_t* ahead = nullptr;  ///< as many tiles that are wanted next: fetched meanwhile
};

void TileDots(const TileProducts& products);
/// The same in plain loops: what TileDots is tested against.
void TileDotsReference(const TileProducts& products);

/// One implementation.
struct TileDotsTarget {
  const char* name;  ///< "avx512-vnni", "avx2" or "plain"
  void (*dots)(const TileProducts& products);
};
/// Those that this CPU can run, fastest first: TileDots is the first of them.
std::span<const TileDotsTarget> TileDotsTargets();

}  // namespace cairn
