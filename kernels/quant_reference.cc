// Packing, rounding and the plain product of quant_product.h.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/dtype.h"
#include "kernels/quant_product.h"

namespace cairn {
namespace {

// Where the code of a column of a piece lies: a word of its row and a shift.
struct CodePlace {
  int32_t word;
  int32_t shift;
};
CodePlace PlaceOf(const QuantShape& shape, int32_t column) {
  const int32_t pairs = 16 / shape.code_bits;  // in a word
  const int32_t pair = column / 2;
  return {pair / pairs, pair % pairs * shape.code_bits + column % 2 * 16};
}

const std::byte* PieceAt(const QuantShape& shape, const std::byte* pack, int64_t tile,
                         int64_t piece) {
  return pack + static_cast<size_t>(tile) * shape.tile_bytes() +
         static_cast<size_t>(piece) * shape.piece_bytes();
}

size_t WordOffset(int32_t word, int64_t lane) {
  return static_cast<size_t>(word * kQuantRows + lane) * sizeof(uint32_t);
}

size_t ScaleOffset(const QuantShape& shape, int32_t group, int64_t lane) {
  return shape.code_bytes() + static_cast<size_t>(group * kQuantRows + lane) * sizeof(uint16_t);
}

size_t MinimumOffset(const QuantShape& shape, int32_t group, int64_t lane) {
  return ScaleOffset(shape, shape.groups() + group, lane);
}

float HalfAt(const std::byte* from) {
  uint16_t half;
  std::memcpy(&half, from, sizeof half);
  return HalfToFloat(half);
}

int32_t CodeAt(const QuantShape& shape, const std::byte* piece, int32_t column, int64_t lane) {
  const CodePlace place = PlaceOf(shape, column);
  uint32_t word;
  std::memcpy(&word, piece + WordOffset(place.word, lane), sizeof word);
  return static_cast<int32_t>((word >> place.shift) & ((1u << shape.code_bits) - 1));
}

}  // namespace

void PackQuantGroup(const QuantShape& shape, int64_t row, int64_t g, const QuantGroup& group,
                    std::byte* pack) {
  const int64_t lane = row % kQuantRows;
  const auto within = static_cast<int32_t>(g % shape.groups());
  std::byte* piece =
      const_cast<std::byte*>(PieceAt(shape, pack, row / kQuantRows, g / shape.groups()));
  const int32_t per_word = 32 / shape.code_bits;
  uint32_t all = 0;
  for (int32_t first = 0; first < shape.group; first += per_word) {
    uint32_t word = 0;
    for (int32_t i = first; i < first + per_word; ++i) {
      word |= static_cast<uint32_t>(group.codes[i]) << PlaceOf(shape, i).shift;
      all |= group.codes[i];
    }
    const int32_t at = PlaceOf(shape, within * shape.group + first).word;
    std::memcpy(piece + WordOffset(at, lane), &word, sizeof word);
  }
  CAIRN_CHECK(all >> shape.code_bits == 0);
  std::memcpy(piece + ScaleOffset(shape, within, lane), &group.scale, sizeof group.scale);
  std::memcpy(piece + MinimumOffset(shape, within, lane), &group.minimum, sizeof group.minimum);
}

void QuantizeVectorReference(const QuantShape& shape, const float* x, const QuantVector& vector) {
  for (int64_t piece = 0; piece < shape.pieces(); ++piece) {
    const float* from = x + piece * kQuantPiece;
    int16_t* codes = vector.codes + piece * kQuantPiece;
    float largest = 0;
    for (int32_t i = 0; i < kQuantPiece; ++i) largest = std::max(largest, std::abs(from[i]));
    // Numbers too small for a scale's inverse are zero.
    const bool zero = largest < kSmallestLargest;
    const float scale = zero ? 0.0f : largest / kHighestQuantCode;
    const float inverse = zero ? 0.0f : kHighestQuantCode / largest;
    for (int32_t i = 0; i < kQuantPiece; ++i) {
      codes[i] = static_cast<int16_t>(std::nearbyint(from[i] * inverse));
    }
    vector.scales[piece] = scale;
    for (int32_t g = 0; g < shape.groups(); ++g) {
      int32_t sum = 0;
      for (int32_t i = 0; i < shape.group; ++i) sum += codes[g * shape.group + i];
      vector.sums[piece * shape.groups() + g] = scale * static_cast<float>(sum);
    }
  }
}

void QuantProductReference(const QuantShape& shape, const std::byte* pack, const QuantVector& x,
                           int64_t begin, int64_t end, float* y) {
  for (int64_t row = begin * kQuantRows; row < std::min(shape.n, end * kQuantRows); ++row) {
    const int64_t lane = row % kQuantRows;
    float sum = 0;
    for (int64_t p = 0; p < shape.pieces(); ++p) {
      const std::byte* piece = PieceAt(shape, pack, row / kQuantRows, p);
      for (int32_t g = 0; g < shape.groups(); ++g) {
        int32_t product = 0;
        for (int32_t i = g * shape.group; i < (g + 1) * shape.group; ++i) {
          product += CodeAt(shape, piece, i, lane) * x.codes[p * kQuantPiece + i];
        }
        const float scale = HalfAt(piece + ScaleOffset(shape, g, lane)) * x.scales[p];
        const float minimum = HalfAt(piece + MinimumOffset(shape, g, lane));
        sum += static_cast<float>(product) * scale + minimum * x.sums[p * shape.groups() + g];
      }
    }
    y[row] = sum;
  }
}

}  // namespace cairn
