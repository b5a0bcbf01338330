#include "index/faiss_gpu_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "index/faiss_gpu.h"

namespace cairn {
namespace {

constexpr int64_t kLeastBlocks = 128;

}  // namespace

void LayRows(DType type, int32_t dim, int32_t heads, int64_t count, const float* vectors,
             int32_t width, int32_t at, std::byte* rows) {
  const size_t vector_bytes = static_cast<size_t>(dim) * DTypeBytes(type);
  const size_t row_bytes = static_cast<size_t>(width) * vector_bytes;
  if (heads < width) std::memset(rows, 0, static_cast<size_t>(count) * row_bytes);
  for (int64_t head = 0; head < heads; ++head) {
    std::byte* place = rows + static_cast<size_t>(at + head) * vector_bytes;
    for (int64_t i = 0; i < count; ++i, place += row_bytes) {
      ConvertFromFloat(type, vectors + (head * count + i) * dim, place, static_cast<size_t>(dim));
    }
  }
}

float QueryScale(DType type, std::span<const float> query) {
  if (type == DType::kF32) return 1;
  float largest = 0;
  for (const float number : query) largest = std::max(largest, std::fabs(number));
  if (largest == 0) return 1;
  return std::ldexp(1.0f, std::clamp(-std::ilogb(largest), -126, 126));
}

void LayQueries(DType type, int32_t dim, int32_t heads, int64_t rows, const float* queries,
                int32_t width, int32_t at, std::byte* laid) {
  const size_t vector_bytes = static_cast<size_t>(dim) * DTypeBytes(type);
  const size_t row_bytes = static_cast<size_t>(width) * vector_bytes;
  std::memset(laid, 0, static_cast<size_t>(heads * rows) * row_bytes);
  std::vector<float> scaled(static_cast<size_t>(dim));
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t row = 0; row < rows; ++row) {
      const float* query = queries + (head * rows + row) * dim;
      const float scale = QueryScale(type, {query, static_cast<size_t>(dim)});
      std::transform(query, query + dim, scaled.begin(), [&](float x) { return x * scale; });
      std::byte* const place = laid + static_cast<size_t>(head * rows + row) * row_bytes +
                               static_cast<size_t>(at + head) * vector_bytes;
      ConvertFromFloat(type, scaled.data(), place, static_cast<size_t>(dim));
    }
  }
}

// f16 rounds numbers by 2^-11 of them at most, below 2^-14 by 2^-25; so do units that take f32 as
// TF32. Sums are f32.
float ScoreError(DType type, int32_t dim, double query_norm, double largest_norm) {
  const double tiny =
      type == DType::kF32 ? 0 : std::ldexp(std::sqrt(static_cast<double>(dim)), -25);
  return static_cast<float>(query_norm * (std::ldexp(largest_norm, -9) + tiny));
}

int64_t QueriesAtOnce(int64_t vectors, int32_t k, int64_t bytes) {
  constexpr int64_t kTileColumns = 512 << 10;  // the most, of halves; of f32 it is half as many
  const int64_t tiles = 1 + 2 * vectors / kTileColumns;
  const int64_t each = 8 * std::min(vectors, kTileColumns) + 16 * tiles * k + 256;
  return std::max<int64_t>(1, bytes / each);
}

int32_t VectorsToFind(int32_t k, int64_t blocks, int32_t representatives) {
  const int64_t wanted = std::max(kLeastBlocks, int64_t{2} * k);
  return static_cast<int32_t>(
      std::min<int64_t>(FlatSearch::kMost, std::min(wanted, blocks) * representatives));
}

}  // namespace cairn
