// Vectors in chunks, as they came and as codes, for tests of kernels that read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/chunk_codes.h"
#include "kernels/cuda/score.h"
#include "tests/support/random.h"

namespace cairn {

inline constexpr int32_t kSpareChunks = 1;  // of a partition, that are not asked for

/// Chunks of partitions, as they came and as codes.
struct Chunks {
  Chunks(DType from, int32_t partition_count, int32_t chunk_count, int32_t vectors_each,
         int32_t numbers)
      : dtype(from),
        partitions(partition_count),
        chunks(chunk_count),
        vectors(vectors_each),
        dim(numbers),
        padded(cuda::PaddedDim(numbers)) {
    const auto places = static_cast<size_t>(partitions * (chunks + kSpareChunks));
    plain.resize(places * static_cast<size_t>(vectors * padded));  // aligned, and large enough
    const size_t coded = static_cast<size_t>(CodedDim(dim)) / 4;   // words
    codes.resize(places * static_cast<size_t>(vectors) * coded, 0x5a5a5a5au);
    scales.resize(places * 8 * coded, -7.0f);
  }

  int64_t plain_stride() const { return int64_t{chunks + kSpareChunks} * vectors * padded; }
  int64_t code_stride() const { return int64_t{chunks + kSpareChunks} * vectors * CodedDim(dim); }
  int64_t scale_stride() const { return int64_t{chunks + kSpareChunks} * 2 * CodedDim(dim); }

  void Set(int32_t partition, int64_t vector, const float* numbers) {
    const int64_t at = partition * plain_stride() + vector * padded;
    ConvertFromFloat(
        dtype, numbers,
        reinterpret_cast<std::byte*>(plain.data()) + at * static_cast<int64_t>(DTypeBytes(dtype)),
        static_cast<size_t>(dim));
  }
  void SetAllRandom(uint64_t seed) {
    TestRandom random(seed);
    for (int32_t p = 0; p < partitions; ++p) {
      // Dimensions differ in what they have in common and in how far they are from it.
      const auto centre = random.Normals(static_cast<size_t>(dim), 3.0f);
      const auto spread = random.Normals(static_cast<size_t>(dim));
      for (int64_t v = 0; v < int64_t{chunks} * vectors; ++v) {
        auto numbers = random.Normals(static_cast<size_t>(dim));
        for (size_t d = 0; d < numbers.size(); ++d) {
          numbers[d] = centre[d] + numbers[d] * spread[d];
        }
        Set(p, v, numbers.data());
      }
    }
  }

  CodeParams Coding(int32_t chunk, int32_t kept = 0) {
    const auto first = static_cast<size_t>(chunk) * static_cast<size_t>(vectors);
    return {.partitions = partitions,
            .vectors = vectors,
            .dim = dim,
            .padded_dim = padded,
            .kept = kept,
            .dtype = dtype,
            .plain = reinterpret_cast<std::byte*>(plain.data()) +
                     first * static_cast<size_t>(padded) * DTypeBytes(dtype),
            .plain_stride = plain_stride(),
            .codes = reinterpret_cast<int8_t*>(codes.data()) +
                     first * static_cast<size_t>(CodedDim(dim)),
            .code_stride = code_stride(),
            .scales = scales.data() + chunk * 2 * CodedDim(dim),
            .scale_stride = scale_stride()};
  }
  void CodeAll() {
    for (int32_t chunk = 0; chunk < chunks; ++chunk) CodeChunk(Coding(chunk));
  }
  ScoreCodesParams Scoring(int64_t first, int64_t count, int32_t rows, const float* queries) const {
    return {.partitions = partitions,
            .rows = rows,
            .dim = dim,
            .chunk_vectors = vectors,
            .first = first,
            .vectors = count,
            .dtype = dtype,
            .codes = reinterpret_cast<const int8_t*>(codes.data()),
            .code_stride = code_stride(),
            .scales = scales.data(),
            .scale_stride = scale_stride(),
            .queries = queries};
  }

  /// The first vectors of all partitions, as they came.
  ScoreParams Stored(int64_t count) const {
    return {.partitions = partitions,
            .dim = dim,
            .padded_dim = padded,
            .vectors = count,
            .dtype = dtype,
            .stored = plain.data(),
            .partition_stride = plain_stride()};
  }

  float Number(int32_t partition, int64_t vector, int32_t d) const {
    float number = 0;
    const int64_t at = partition * plain_stride() + vector * padded + d;
    ConvertToFloat(dtype,
                   reinterpret_cast<const std::byte*>(plain.data()) +
                       at * static_cast<int64_t>(DTypeBytes(dtype)),
                   &number, 1);
    return number;
  }
  int8_t Code(int32_t partition, int64_t vector, int32_t d) const {
    return reinterpret_cast<const int8_t*>(
        codes.data())[partition * code_stride() + vector * CodedDim(dim) + d];
  }
  const float* Scales(int32_t partition, int64_t vector) const {
    return scales.data() + partition * scale_stride() + vector / vectors * 2 * CodedDim(dim);
  }
  float Step(int32_t partition, int64_t vector, int32_t d) const {
    return Scales(partition, vector)[CodedDim(dim) + d];
  }
  float Coded(int32_t partition, int64_t vector, int32_t d) const {
    return Scales(partition, vector)[d] +
           static_cast<float>(Code(partition, vector, d)) * Step(partition, vector, d);
  }

  DType dtype;
  int32_t partitions, chunks, vectors, dim, padded;
  std::vector<uint32_t> plain, codes;
  std::vector<float> scales;
};

}  // namespace cairn
