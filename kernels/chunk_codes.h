// Chunks of vectors as codes of 8 bits, and scores of such, for an index on a device: in plain
// loops, as what the kernels for GPUs are held to. On a CPU, index/code_store.h has codes of its
// own.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace cairn {

/// Numbers of a coded vector: D and zeros, so that vectors begin at multiples of 16 bytes.
constexpr int32_t CodedDim(int32_t dim) { return (dim + 15) / 16 * 16; }

/// Into so many units the largest |q·step| of a query is divided: 15 bits, with the sign.
inline constexpr float kQueryUnits = 127.0f * 128.0f;
/// The largest |q·step| that still counts as none.
inline constexpr float kNoQuery = 1e-30f;

/// One chunk of each of P partitions.
struct CodeParams {
  int32_t partitions = 1;       ///< P
  int32_t vectors = 0;          ///< of a chunk
  int32_t dim = 0;              ///< D
  int32_t padded_dim = 0;       ///< numbers of a vector as it came
  int32_t kept = 0;             ///< vectors, the first of the chunk, that are codes already
  DType dtype = DType::kBF16;   ///< of vectors as they came: kF32 or kBF16
  const void* plain = nullptr;  ///< [P, …, vectors, padded_dim], the kept ones not read
  int64_t plain_stride = 0;     ///< numbers from one partition's chunk to the next one's
  int8_t* codes = nullptr;      ///< [P, …, vectors, CodedDim]
  int64_t code_stride = 0;
  float* scales = nullptr;  ///< [P, …, 2, CodedDim]: centres, then steps
  int64_t scale_stride = 0;
};

/// Of every dimension the range within the chunk is cut into 254 steps: number d of a vector is
/// about centre[d] + code·step[d] with a code within ±127, and not farther from it than half a step
/// and what f32 rounds. Where all numbers are equal the centre is they, and step and codes are 0.
/// Numbers are finite as bf16. Vectors that are kept count as what their codes say, and are coded
/// anew.
void CodeChunk(const CodeParams& params);

struct ScoreCodesParams {
  int32_t partitions = 1;  ///< P
  int32_t rows = 0;        ///< of a partition
  int32_t dim = 0;         ///< D
  int32_t chunk_vectors = 0;
  int64_t first = 0;              ///< vector that is scored, counted from a partition's first
  int64_t vectors = 0;            ///< n, from there on
  DType dtype = DType::kBF16;     ///< of vectors before they were coded
  const int8_t* codes = nullptr;  ///< [P, …, CodedDim]
  int64_t code_stride = 0;        ///< from one partition's first to the next one's
  const float* scales = nullptr;  ///< [P, …, 2, CodedDim], one pair for each chunk
  int64_t scale_stride = 0;
  const float* queries = nullptr;  ///< [P, rows, D]
  float* scores = nullptr;         ///< [P, rows, n]
  int64_t score_stride = 0;        ///< from a row's first to the next one's; 0: n

  int64_t row_stride() const { return score_stride == 0 ? vectors : score_stride; }
};

/// The score of a vector is q·centre + Σ q·step·code, in which each q·step is rounded to a multiple
/// of their largest divided by kQueryUnits; so it differs from the inner product with what the
/// codes say by up to largest/2/kQueryUnits · Σ|code|, and by what f32 rounds. Where all vectors of
/// a chunk are equal it is the one that ScoreVectors gives for them, kept as dtype.
void ScoreCodes(const ScoreCodesParams& params);

}  // namespace cairn
