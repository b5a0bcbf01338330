#include "tests/kernels/cuda/cuda_attention.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "base/check.h"

namespace cairn {
namespace {

constexpr int64_t kBeside = 3;  // floats between rows
constexpr float kUntouched = 7.0f;

}  // namespace

CudaAttention::CudaAttention(const AttentionCase& from, int32_t heads, uint64_t seed)
    : from_(from), heads_(heads) {
  const int64_t head_floats = int64_t{from.group} * from.head_dim;
  const int64_t stride = heads * head_floats + kBeside;
  queries_.resize(static_cast<size_t>(from.rows * stride));
  blocks_.resize(static_cast<size_t>(heads) * static_cast<size_t>(from.blocks + 1));
  for (int32_t h = 0; h < heads; ++h) {
    data_.push_back(std::make_unique<AttentionData>(from, seed * 100 + static_cast<uint64_t>(h)));
    AttentionData& data = *data_.back();
    const auto gone = std::min(static_cast<int64_t>(data.blocks.size()), int64_t{h});
    data.blocks.erase(data.blocks.begin(), data.blocks.begin() + gone);
    counts_.push_back(static_cast<int32_t>(data.blocks.size()));
    for (size_t b = 0; b < data.blocks.size(); ++b) {
      const BlockRef& block = data.blocks[b];
      blocks_[static_cast<size_t>(h * (from.blocks + 1)) + b] = {block.payload, block.position,
                                                                 block.rows};
    }
    for (int64_t t = 0; t < from.rows; ++t) {
      std::copy_n(data.queries.data() + t * data.stride(), head_floats,
                  queries_.data() + t * stride + h * head_floats);
    }
  }
}

AttentionResult CudaAttention::Reference() {
  const int64_t head_floats = int64_t{from_.group} * from_.head_dim;
  AttentionResult all;
  all.o.resize(static_cast<size_t>(from_.rows * heads_ * head_floats));
  all.lse.resize(static_cast<size_t>(int64_t{from_.rows} * heads_ * from_.group));
  for (int64_t h = 0; h < heads_; ++h) {
    const AttentionResult one = data_[static_cast<size_t>(h)]->Reference();
    for (int64_t t = 0; t < from_.rows; ++t) {
      std::copy_n(one.o.data() + t * head_floats, head_floats,
                  all.o.data() + (t * heads_ + h) * head_floats);
      std::copy_n(one.lse.data() + t * from_.group, from_.group,
                  all.lse.data() + (t * heads_ + h) * from_.group);
    }
  }
  return all;
}

template <class Function>
AttentionResult CudaAttention::Run(const Function& attend) {
  const int64_t row_floats = int64_t{heads_} * from_.group * from_.head_dim;
  const int64_t stride = row_floats + kBeside;
  const int64_t heads = int64_t{from_.rows} * heads_ * from_.group;
  std::vector<float> o(static_cast<size_t>(from_.rows * stride + kBeside), kUntouched);
  AttentionResult result;
  result.lse.resize(static_cast<size_t>(heads), kUntouched);
  const RopeTable& rope = data_.front()->rope;
  cuda::AttendParams params;
  params.shape = {from_.block_rows, from_.head_dim, from_.dtype};
  params.mode = from_.mode;
  params.scale = 1.0f / std::sqrt(static_cast<float>(from_.head_dim));
  params.bf16 = from_.bf16;
  params.rope = {rope.at(0), rope.positions(), rope.style()};
  params.heads = heads_;
  params.rows = from_.rows;
  params.group = from_.group;
  params.q = queries_.data();
  params.q_row_stride = stride;
  params.q_positions = data_.front()->positions.data();
  params.blocks = blocks_.data();
  params.block_counts = counts_.data();
  params.block_stride = from_.blocks + 1;
  params.o = o.data();
  params.o_row_stride = stride;
  params.lse = result.lse.data();
  const Status done = attend(params);
  if (!done.has_value()) std::fprintf(stderr, "%s\n", done.error().message.c_str());
  CAIRN_CHECK(done.has_value());
  for (int64_t t = 0; t < from_.rows; ++t) {
    const float* row = o.data() + t * stride;
    result.o.insert(result.o.end(), row, row + row_floats);
    for (int64_t i = 0; i < kBeside; ++i) CAIRN_CHECK(row[row_floats + i] == kUntouched);
  }
  return result;
}

AttentionResult CudaAttention::Decode(int32_t splits) {
  return Run([&](const cuda::AttendParams& params) {
    cuda::DecodeShare share = {.splits = splits};
    std::vector<float> scratch(cuda::DecodeScratchFloats(params, splits), std::nanf(""));
    share.scratch = scratch.data();
    return cuda::AttendDecode(params, share, nullptr);
  });
}

// Twice, as a launch leaves behind what the next one begins with.
AttentionResult CudaAttention::DecodeInOneLaunch(int32_t splits) {
  const int64_t queries = int64_t{from_.rows} * heads_ * from_.group;
  std::vector<float> first_o(static_cast<size_t>(queries * from_.head_dim), std::nanf(""));
  std::vector<float> first_lse(static_cast<size_t>(queries), std::nanf(""));
  std::vector<int32_t> arrived(
      static_cast<size_t>(cuda::DecodeCounts(from_.rows, heads_, from_.group)), 0);
  return Run([&](cuda::AttendParams params) -> Status {
    cuda::AttendParams firsts = params;
    std::vector<int32_t> one, others;
    for (const int32_t count : counts_) {
      one.push_back(std::min(count, 1));
      others.push_back(count - one.back());
    }
    firsts.block_counts = one.data();
    firsts.o = first_o.data();
    firsts.o_row_stride = int64_t{heads_} * from_.group * from_.head_dim;
    firsts.lse = first_lse.data();
    CAIRN_TRY(cuda::AttendDecode(firsts, {}, nullptr));
    params.block_counts = others.data();
    params.blocks += 1;
    for (int time = 0; time < 2; ++time) {
      cuda::DecodeShare share = {.splits = splits,
                                 .arrived = arrived.data(),
                                 .other_o = first_o.data(),
                                 .other_lse = first_lse.data()};
      std::vector<float> scratch(cuda::DecodeScratchFloats(params, splits), std::nanf(""));
      share.scratch = scratch.data();
      CAIRN_TRY(cuda::AttendDecode(params, share, nullptr));
      CAIRN_CHECK(std::count(arrived.begin(), arrived.end(), 0) == std::ssize(arrived));
    }
    return Ok();
  });
}

AttentionResult CudaAttention::Prefill() {
  return Run([](const cuda::AttendParams& params) { return cuda::AttendPrefill(params, nullptr); });
}

}  // namespace cairn
