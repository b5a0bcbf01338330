#include "kernels/choice.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/dtype.h"

namespace cairn {
namespace {

// Calls body(row, head, group head, query) for all sampled queries.
template <class Body>
void ForQueries(const SampledQueries& sampled, const Body& body) {
  for (int32_t i = 0; i < sampled.rows; ++i) {
    const int32_t row = sampled.first + i * sampled.stride;
    for (int32_t h = 0; h < sampled.heads * sampled.group; ++h) {
      const float* q =
          sampled.q + row * sampled.q_row_stride + static_cast<int64_t>(h) * sampled.dim;
      const int32_t head = h / sampled.group;
      const int64_t place = (int64_t{head} * sampled.rows + i) * sampled.group + h % sampled.group;
      body(sampled.positions[row], head, place, q);
    }
  }
}

}  // namespace

void SearchQueries(const SampledQueries& sampled, const RopeTable& rope, int32_t slot_position,
                   bool bf16, float* queries, int32_t* missing) {
  ForQueries(sampled, [&](int32_t position, int32_t, int64_t place, const float* q) {
    float* target = queries + place * sampled.dim;
    rope.Rotate(position - slot_position, q, target);
    for (int32_t c = 0; c < sampled.dim; ++c) {
      target[c] *= sampled.scale;
      if (!std::isfinite(target[c])) *missing |= kNoChoice;
      if (bf16) target[c] = Bf16ToFloat(FloatToBf16(target[c]));
    }
  });
}

void NearScores(const SampledQueries& sampled, const RopeTable& rope, int32_t near,
                int32_t block_rows, const float* keys, float* scores, int64_t score_stride) {
  std::vector<float> rotated(static_cast<size_t>(sampled.dim));
  ForQueries(sampled, [&](int32_t position, int32_t head, int64_t place, const float* q) {
    for (int32_t i = 0; i < near; ++i) {
      rope.Rotate(position - (i + 1) * block_rows, q, rotated.data());
      const float* key = keys + (int64_t{head} * near + i) * sampled.dim;
      float sum = 0;
      for (int32_t c = 0; c < sampled.dim; ++c) sum += rotated[static_cast<size_t>(c)] * key[c];
      scores[place * score_stride + i] = sum * sampled.scale;
    }
  });
}

void PlaceBlocks(const PlaceParams& params) {
  const int32_t per_list = params.fixed + params.k;
  std::vector<int32_t> sorted(static_cast<size_t>(params.k));
  for (int32_t list = 0; list < params.groups * params.heads; ++list) {
    const int32_t group = list / params.heads, head = list % params.heads;
    bool complete = true;
    int32_t at = 0;
    const auto place = [&](int32_t block, int32_t slot) {
      const int64_t to = int64_t{list} * per_list + at++;
      const uint32_t lies = block < 0 ? kAbsent : params.table[head * params.table_stride + block];
      params.ordinals[to] = block;
      params.placed[to] = {lies == kAbsent ? nullptr : params.slots + lies * params.slot_bytes,
                           slot * params.block_rows, params.block_rows};
      if (lies != kAbsent) return;
      ++*params.missing;
      if (block < 0) *params.missing |= kNoChoice;
      complete = false;
    };
    for (int32_t i = 0; i < params.k; ++i) {
      const int64_t from = (int64_t{head} * params.groups + group) * params.k + i;
      const int32_t candidate = params.chosen == nullptr ? i : params.chosen[from];
      const int32_t far = candidate < 0 ? -1 : params.far_begin + candidate;
      sorted[static_cast<size_t>(i)] =
          candidate < params.far_count ? far : params.near_begin + candidate - params.far_count;
    }
    std::sort(sorted.begin(), sorted.end());
    for (int32_t i = 0; i < params.sinks; ++i) {
      place(params.fixed_blocks[i], params.fixed_slots[i]);
    }
    for (int32_t rank = 0; rank < params.k; ++rank) {
      const int32_t block = sorted[static_cast<size_t>(rank)];
      const bool near = block >= params.near_begin && block < params.near_end;
      place(block, params.first_slot + std::max(0, rank - params.crowd) + (near ? 1 : 0));
    }
    for (int32_t i = params.sinks; i < params.fixed; ++i) {
      place(params.fixed_blocks[i], params.fixed_slots[i]);
    }
    params.counts[list] = complete ? per_list : 0;
    if (!complete) *params.stopped = 1;
  }
}

}  // namespace cairn
