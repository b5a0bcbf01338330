// A recording of random queries and keys, as if a model had been recorded.
#pragma once

#include "base/dtype.h"
#include "bench/recording.h"
#include "tests/support/random.h"

namespace cairn {

/// `group` query heads for each of two KV heads, D = 16, two layers; the last 20 rows are a probe.
inline Recording MakeRecording(int64_t rows, int32_t group, bool landmark) {
  Recording recording;
  recording.shape.layers = 2;
  recording.shape.kv_heads = 2;
  recording.shape.query_heads = 2 * group;
  recording.shape.block.head_dim = 16;
  recording.shape.block.block_rows = 8;
  recording.shape.mode = landmark ? AttentionMode::kLandmark : AttentionMode::kUnmodified;
  recording.shape.inverse_frequencies = RopeTable::InverseFrequencies(10'000, 16);
  recording.text = "made up";
  recording.layers = {0, 3};
  recording.rows = rows;
  recording.probes = {{rows - 20, 20}};
  TestRandom random(9);
  for (int layer = 0; layer < 2; ++layer) {
    const auto keys = random.Normals(static_cast<size_t>(rows) * 2 * 16, 1.5f);
    std::vector<uint16_t> halves(keys.size());
    ConvertFromFloat(DType::kF16, keys.data(), halves.data(), keys.size());
    recording.keys.push_back(halves);
    recording.queries.push_back(random.Normals(static_cast<size_t>(20 * 2 * group * 16), 3.0f));
  }
  return recording;
}

}  // namespace cairn
