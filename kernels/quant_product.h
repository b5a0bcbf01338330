// Products of a matrix of small codes with vectors: what decoding reads of a quantised model, as it
// is, instead of bf16 weights of four times the size.
//
// A weight is scale · code + minimum, with one scale and minimum per group of 16 or 32 numbers of a
// row and codes of 4 or 8 bits. The vector is rounded to 16 bits with one scale per 32 numbers: an
// error of at most 1/65534 of their largest, where bf16 has up to 1/512 of each. Sums of codes are
// exact integers, the rest f32. All functions are pure: they own and allocate nothing.
//
// A pack lays kQuantRows rows side by side, so that a lane of a vector is a row: for each piece of
// kQuantPiece columns the codes, then the scales and the minimums (f16, [groups, rows]). A 32-bit
// word holds codes of one row; pairs of neighbours c, c + 1 lie 16 bits apart, so that a shift and
// a mask make 16-bit numbers to multiply: of 4 bits four pairs in a word, of 8 bits two.
#pragma once

#include <cstddef>
#include <cstdint>

namespace cairn {

inline constexpr float kHighestQuantCode = 32767.0f;  ///< of a vector
inline constexpr float kSmallestLargest = 1e-30f;     ///< 32 numbers that are all less are zero

inline constexpr int32_t kQuantRows = 16;   ///< rows side by side
inline constexpr int32_t kQuantPiece = 32;  ///< columns of a piece

/// A weight matrix [n, k]; k is a multiple of kQuantPiece.
struct QuantShape {
  int64_t n = 0;
  int64_t k = 0;
  int32_t code_bits = 8;        ///< 4 or 8, unsigned
  int32_t group = kQuantPiece;  ///< numbers with one scale: 16 or 32

  int64_t tiles() const { return (n + kQuantRows - 1) / kQuantRows; }
  int64_t pieces() const { return k / kQuantPiece; }
  int32_t groups() const { return kQuantPiece / group; }  ///< of a piece
  size_t code_bytes() const {
    return static_cast<size_t>(kQuantRows * kQuantPiece * code_bits / 8);
  }
  size_t piece_bytes() const {
    return code_bytes() + static_cast<size_t>(2 * groups() * kQuantRows) * sizeof(uint16_t);
  }
  size_t tile_bytes() const { return static_cast<size_t>(pieces()) * piece_bytes(); }
  size_t bytes() const { return static_cast<size_t>(tiles()) * tile_bytes(); }
};

/// One group of one row of a piece, to be packed.
struct QuantGroup {
  const uint8_t* codes;  ///< [group]
  uint16_t scale;        ///< f16
  uint16_t minimum;      ///< f16
};

/// Writes columns [group · g, group · (g + 1)) of a row into `pack` [bytes()]. Rows that
/// fill the last tile are never packed and stay as they are; nothing comes of them.
void PackQuantGroup(const QuantShape& shape, int64_t row, int64_t g, const QuantGroup& group,
                    std::byte* pack);

/// A vector of k numbers as 16-bit codes: x ≈ scale · code.
struct QuantVector {
  int16_t* codes;  ///< [k]
  float* scales;   ///< [k / kQuantPiece]
  float* sums;     ///< [k / group], of the rounded numbers
};
/// REQUIRES: `x` [k] is finite.
void QuantizeVectorReference(const QuantShape& shape, const float* x, const QuantVector& vector);
void QuantizeVector(const QuantShape& shape, const float* x, const QuantVector& vector);

/// y[row] = W[row, :] · x for the rows of tiles [begin, end) below n. `pack` is aligned to 64
/// bytes.
void QuantProductReference(const QuantShape& shape, const std::byte* pack, const QuantVector& x,
                           int64_t begin, int64_t end, float* y);
void QuantProduct(const QuantShape& shape, const std::byte* pack, const QuantVector& x,
                  int64_t begin, int64_t end, float* y);

}  // namespace cairn
