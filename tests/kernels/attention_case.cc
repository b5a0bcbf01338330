#include "tests/kernels/attention_case.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/check.h"
#include "kernels/append.h"
#include "kernels/block_rows.h"

namespace cairn {
namespace {

// Memory aligned to 64 bytes that ends with NaN, to show reads and writes past the end.
class Scratch {
 public:
  explicit Scratch(size_t floats) : memory_(floats + 16 + 1, std::nanf("")), floats_(floats) {}
  float* data() {
    const auto address = reinterpret_cast<uintptr_t>(memory_.data());
    return memory_.data() + (64 - address % 64) % 64 / sizeof(float);
  }
  bool Intact() { return std::isnan(data()[floats_]); }

 private:
  std::vector<float> memory_;
  size_t floats_;
};

}  // namespace

void CallAttend(const AttendParams& params) {
  Scratch scratch(AttendScratchFloats(params));
  Attend(params, scratch.data());
  CAIRN_CHECK(scratch.Intact());
}

AttentionData::AttentionData(const AttentionCase& c, uint64_t seed)
    : from(c), rope(c.style, RopeTable::InverseFrequencies(10000.0, c.head_dim)) {
  TestRandom random(seed);
  const BlockShape sealed_shape{c.block_rows, c.head_dim, c.dtype};
  const BlockShape shape = sealed_shape.open();
  const int64_t block_floats = int64_t{c.block_rows} * c.head_dim;
  rope.Reserve((c.first_slot + c.blocks + 2) * c.block_rows + c.rows);
  keys = random.Normals(static_cast<size_t>(c.blocks * block_floats));
  values = random.Normals(static_cast<size_t>(c.blocks * block_floats));
  queries = random.Normals(static_cast<size_t>(c.rows * stride()));
  for (float& number : queries) number *= c.query_factor;
  for (float& number : keys) number /= c.query_factor;
  for (int32_t b = 0; b < c.blocks; ++b) {
    // What was never written is NaN in every type.
    std::vector<std::byte> payload(shape.payload_bytes(), std::byte{0xff});
    const int32_t rows = b + 1 == c.blocks ? c.last_rows : c.block_rows;
    AppendRows(shape, rope, 0, rows, keys.data() + b * block_floats,
               values.data() + b * block_floats, c.head_dim, payload.data());
    payloads.push_back(std::move(payload));
    if (c.dtype == DType::kQ8) {
      CAIRN_CHECK(rows == c.block_rows);
      std::vector<std::byte> sealed(sealed_shape.payload_bytes(), std::byte{0xff});
      SealBlock(sealed_shape, payloads.back().data(), sealed.data());
      payloads.back() = std::move(sealed);
    }
    const int32_t slot = c.first_slot + b + (c.hole && b >= 1 ? 1 : 0);
    blocks.push_back({payloads.back().data(), slot * c.block_rows, rows});
  }
  const int32_t end = blocks.empty() ? 0 : blocks.back().position + blocks.back().rows;
  for (int32_t t = 0; t < c.rows; ++t) positions.push_back(end - c.back - c.rows + t);
}

AttentionResult AttentionData::Run(bool fast, int32_t first, int32_t count) {
  if (count < 0) count = from.rows - first;
  const size_t heads = static_cast<size_t>(count) * static_cast<size_t>(from.group);
  AttentionResult result;
  std::vector<float> o(static_cast<size_t>(count * (stride() + 3)), 7.0f);
  result.lse.resize(heads, 7.0f);
  AttendParams params;
  params.shape = {from.block_rows, from.head_dim, from.dtype};
  params.mode = from.mode;
  params.scale = 1.0f / std::sqrt(static_cast<float>(from.head_dim));
  params.bf16 = from.bf16;
  params.rope = &rope;
  params.rows = count;
  params.group = from.group;
  params.q = queries.data() + first * stride();
  params.q_row_stride = stride();
  params.q_positions = positions.data() + first;
  params.blocks = blocks;
  params.o = o.data();
  params.o_row_stride = stride() + 3;
  params.lse = result.lse.data();
  fast ? CallAttend(params) : AttendReference(params);
  for (int32_t t = 0; t < count; ++t) {
    const float* row = o.data() + t * params.o_row_stride;
    result.o.insert(result.o.end(), row, row + int64_t{from.group} * from.head_dim);
    for (int i = 0; i < 8; ++i) CAIRN_CHECK(row[params.o_row_stride - 1 - i] == 7.0f);
  }
  return result;
}

AttentionResult AttentionData::Reference(int32_t first, int32_t count) {
  return Run(false, first, count);
}
AttentionResult AttentionData::Fast(int32_t first, int32_t count) {
  return Run(true, first, count);
}

// q · k with both rotated to their absolute positions, in double.
double AttentionData::OracleScore(int32_t row, int32_t head, size_t block, int32_t key) const {
  const int32_t half = from.head_dim / 2;
  const float* q = queries.data() + row * stride() + int64_t{head} * from.head_dim;
  const float* k =
      keys.data() + (static_cast<int64_t>(block) * from.block_rows + key) * from.head_dim;
  const double distance = positions[static_cast<size_t>(row)] - (blocks[block].position + key);
  const bool split = from.style == RopeStyle::kHalfSplit;
  const auto frequencies = RopeTable::InverseFrequencies(10000.0, from.head_dim);
  double sum = 0;
  for (int32_t c = 0; c < half; ++c) {
    const int32_t first = split ? c : 2 * c;
    const int32_t second = split ? c + half : 2 * c + 1;
    const double cosine = std::cos(distance * frequencies[static_cast<size_t>(c)]);
    const double sine = std::sin(distance * frequencies[static_cast<size_t>(c)]);
    sum += (q[first] * cosine - q[second] * sine) * k[first];
    sum += (q[second] * cosine + q[first] * sine) * k[second];
  }
  return sum / std::sqrt(static_cast<double>(from.head_dim));
}

void AttentionData::OracleRow(int32_t row, int32_t head, float* o, float* lse) const {
  struct Key {
    double score;
    size_t block;
    int32_t row;  // −1: the gate of the block
  };
  std::vector<Key> first;  // of the first softmax
  const int32_t position = positions[static_cast<size_t>(row)];
  const bool grouped = from.mode == SoftmaxMode::kGrouped;
  for (size_t b = 0; b < blocks.size(); ++b) {
    if (grouped && blocks[b].position + from.block_rows <= position) {
      first.push_back({OracleScore(row, head, b, from.block_rows - 1), b, -1});
      continue;
    }
    for (int32_t t = 0; t < blocks[b].rows && blocks[b].position + t <= position; ++t) {
      if (grouped && t == from.block_rows - 1) continue;
      first.push_back({OracleScore(row, head, b, t), b, t});
    }
  }
  double total = 0;
  for (const Key& key : first) total += std::exp(key.score);
  *lse = static_cast<float>(std::log(total));
  std::vector<double> sum(static_cast<size_t>(from.head_dim), 0.0);
  const auto add = [&](double weight, size_t block, int32_t t) {
    const float* v =
        values.data() + (static_cast<int64_t>(block) * from.block_rows + t) * from.head_dim;
    for (int32_t c = 0; c < from.head_dim; ++c) sum[static_cast<size_t>(c)] += weight * v[c];
  };
  for (const Key& key : first) {
    const double weight = std::exp(key.score) / total;
    if (key.row >= 0) {
      add(weight, key.block, key.row);
      continue;
    }
    double inner = 0;
    for (int32_t t = 0; t + 1 < from.block_rows; ++t) {
      inner += std::exp(OracleScore(row, head, key.block, t));
    }
    for (int32_t t = 0; t + 1 < from.block_rows; ++t) {
      add(weight * std::exp(OracleScore(row, head, key.block, t)) / inner, key.block, t);
    }
  }
  for (int32_t c = 0; c < from.head_dim; ++c) o[c] = static_cast<float>(sum[c]);
}

AttentionResult AttentionData::Oracle() const {
  const size_t heads = static_cast<size_t>(from.rows) * static_cast<size_t>(from.group);
  AttentionResult result{std::vector<float>(heads * static_cast<size_t>(from.head_dim)),
                         std::vector<float>(heads)};
  for (int32_t t = 0; t < from.rows; ++t) {
    for (int32_t g = 0; g < from.group; ++g) {
      const int64_t i = int64_t{t} * from.group + g;
      OracleRow(t, g, result.o.data() + i * from.head_dim, result.lse.data() + i);
    }
  }
  return result;
}

float MeanDifference(const std::vector<float>& a, const std::vector<float>& b) {
  CAIRN_CHECK(b.empty() || a.size() == b.size());
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += std::fabs(a[i] - (b.empty() ? 0.0f : b[i]));
  return a.empty() ? 0.0f : static_cast<float>(sum / static_cast<double>(a.size()));
}

float LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  CAIRN_CHECK(a.size() == b.size());
  float largest = 0.0f;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] == b[i]) continue;
    const float difference = std::fabs(a[i] - b[i]);
    if (!(difference <= largest)) largest = difference;
    if (std::isnan(difference)) return std::numeric_limits<float>::infinity();
  }
  return largest;
}

}  // namespace cairn
