#include "engine/key_bounds.h"

#include <algorithm>

#include "base/check.h"
#include "engine/summary.h"
#include "index/score_kernels.h"
#include "kernels/block_rows.h"
#include "kernels/key_sketch.h"

namespace cairn {
namespace {

constexpr int64_t kKeysAtOnce = 256;
constexpr int64_t kPastTheEnd = 3;  // that ScanScores may write

}  // namespace

size_t KeyBoundBytes(const SessionShape& shape) {
  return shape.mode == AttentionMode::kLandmark
             ? SummaryBytes(shape) / static_cast<size_t>(shape.kv_heads)
             : KeySketchBytes(shape.block);
}

void WriteKeyBound(const SessionShape& shape, const std::byte* payload, std::byte* part) {
  if (shape.mode == AttentionMode::kUnmodified) return SketchKeys(shape.block, payload, part);
  std::vector<float> key(static_cast<size_t>(shape.block.head_dim));
  SummarizeHead(shape, payload, key.data(), reinterpret_cast<char*>(part));
}

void ValueMean(const SessionShape& shape, const std::byte* payload, float* mean) {
  const int32_t dim = shape.block.head_dim, rows = shape.block_tokens();
  float value[kMaxHeadDim];
  std::fill_n(mean, dim, 0.0f);
  for (int32_t t = 0; t < rows; ++t) {
    ReadValue(shape.block, payload, t, value);
    for (int32_t c = 0; c < dim; ++c) mean[c] += value[c] / static_cast<float>(rows);
  }
}

KeyBounds::KeyBounds(const SessionShape& shape, bool values)
    : shape_(shape),
      part_bytes_(KeyBoundBytes(shape)),
      has_values_(values),
      parts_(static_cast<size_t>(shape.partitions())),
      values_(parts_.size()) {}

void KeyBounds::AddValues(int32_t partition, const float* mean) {
  std::vector<uint16_t>& values = values_[partition];
  const auto dim = static_cast<size_t>(shape_.block.head_dim);
  values.resize(values.size() + dim);
  ConvertFromFloat(DType::kBF16, mean, values.data() + values.size() - dim, dim);
}

void KeyBounds::Truncate(int64_t size) {
  for (auto& parts : parts_) {
    const size_t bytes = static_cast<size_t>(size) * part_bytes_;
    if (parts.size() > bytes) parts.resize(bytes);
  }
  for (auto& values : values_) {
    const auto numbers = static_cast<size_t>(size * shape_.block.head_dim);
    if (values.size() > numbers) values.resize(numbers);
  }
}

void KeyBounds::Weigh(int32_t partition, int64_t begin, int64_t end, const float* queries,
                      int32_t rows, float* estimates, float* bounds) const {
  CAIRN_CHECK(begin >= 0 && begin <= end && end <= size(partition));
  const int64_t count = end - begin;
  const std::byte* parts = parts_[partition].data() + static_cast<size_t>(begin) * part_bytes_;
  if (!landmarks()) {
    WeighSketches({.shape = shape_.block,
                   .sketches = parts,
                   .count = count,
                   .queries = queries,
                   .rows = rows,
                   .estimates = estimates,
                   .bounds = bounds,
                   .stride = count});
    return;
  }
  const int32_t dim = shape_.block.head_dim;
  std::vector<float> keys(static_cast<size_t>(kKeysAtOnce * dim));
  std::vector<float> scores(static_cast<size_t>(rows * (kKeysAtOnce + kPastTheEnd)));
  for (int64_t first = 0; first < count; first += kKeysAtOnce) {
    const int64_t some = std::min(kKeysAtOnce, count - first);
    ConvertToFloat(SummaryDType(shape_), parts + static_cast<size_t>(first) * part_bytes_,
                   keys.data(), static_cast<size_t>(some * dim));
    const int64_t stride = some + kPastTheEnd;
    ScanScores(DType::kF32, reinterpret_cast<const std::byte*>(keys.data()), some, dim, queries,
               rows, scores.data(), stride);
    for (int32_t r = 0; r < rows; ++r) {
      std::copy_n(scores.data() + r * stride, some, estimates + r * count + first);
    }
  }
  std::copy_n(estimates, rows * count, bounds);
}

uint64_t KeyBounds::memory_bytes() const {
  uint64_t bytes = 0;
  for (const auto& parts : parts_) bytes += parts.capacity();
  for (const auto& values : values_) bytes += values.capacity() * sizeof(uint16_t);
  return bytes;
}

}  // namespace cairn
