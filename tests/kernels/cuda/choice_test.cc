#include "kernels/cuda/choice.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "tests/support/cuda_on_cpu/thread_block.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

constexpr int32_t kBlockRows = 8;

template <class Work>
void UnderSomeOrders(const Work& work) {
  for (uint64_t order = 0; order < 3; ++order) {
    SCOPED_TRACE(order);
    cuda_on_cpu::SetOrderSeed(TestSeed() + order);
    work();
  }
}

struct QueryCase {
  int32_t heads, group, dim, rows, first, stride;
  RopeStyle style;
};

class CudaQueries : public testing::TestWithParam<QueryCase> {
 protected:
  CudaQueries()
      : from_(GetParam()),
        rope_(from_.style, RopeTable::InverseFrequencies(10000.0, from_.dim)),
        all_rows_(from_.first + (from_.rows - 1) * from_.stride + 1),
        row_stride_(int64_t{from_.heads} * from_.group * from_.dim + 3) {
    rope_.Reserve(kBlockRows * 10 + all_rows_);
    TestRandom random(1);
    q_ = random.Normals(static_cast<size_t>(all_rows_ * row_stride_));
    positions_.resize(static_cast<size_t>(all_rows_));
    std::iota(positions_.begin(), positions_.end(), kBlockRows * 10);
  }
  SampledQueries Sampled() const {
    return {from_.heads, from_.group,       from_.dim,   from_.rows,   q_.data(),
            row_stride_, positions_.data(), from_.first, from_.stride, 0.25f};
  }
  cuda::DeviceRope rope() const { return {rope_.at(0), rope_.positions(), rope_.style()}; }
  int64_t Queries() const { return int64_t{from_.heads} * from_.rows * from_.group; }

  QueryCase from_;
  RopeTable rope_;
  int32_t all_rows_;
  int64_t row_stride_;
  std::vector<float> q_;
  std::vector<int32_t> positions_;
};

TEST_P(CudaQueries, RotatedOnesAreThoseOfTheCpu) {
  for (const bool bf16 : {false, true}) {
    std::vector<float> expected(static_cast<size_t>(Queries() * from_.dim), -7.0f);
    std::vector<int32_t> bad = {0};
    SearchQueries(Sampled(), rope_, 3 * kBlockRows, bf16, expected.data(), bad.data());
    UnderSomeOrders([&] {
      std::vector<float> found(expected.size(), -7.0f);
      ASSERT_TRUE(cuda::SearchQueries(Sampled(), rope(), 3 * kBlockRows, bf16, found.data(),
                                      bad.data(), nullptr)
                      .has_value());
      EXPECT_EQ(found, expected);
    });
    EXPECT_EQ(bad[0], 0);
  }
}

TEST_P(CudaQueries, ThoseThatAreNoNumbersAreNoticed) {
  const auto row = static_cast<int64_t>(from_.first + (from_.rows - 1) * from_.stride);
  std::vector<float> queries(static_cast<size_t>(Queries() * from_.dim));
  for (const float number : {std::nanf(""), -HUGE_VALF}) {
    q_[static_cast<size_t>((row + 1) * row_stride_ - 4)] = number;  // the last of the last one
    std::vector<int32_t> by_cpu = {5}, by_device = {5};
    SearchQueries(Sampled(), rope_, 0, false, queries.data(), by_cpu.data());
    ASSERT_TRUE(
        cuda::SearchQueries(Sampled(), rope(), 0, false, queries.data(), by_device.data(), nullptr)
            .has_value());
    EXPECT_EQ(by_cpu[0], kNoChoice + 5);
    EXPECT_EQ(by_device[0], kNoChoice + 5);
  }
}

// Of a pair one may become infinite and the other not.
TEST_P(CudaQueries, ThoseThatAreNoNumbersOnceTheyAreRotatedAreNoticed) {
  const int32_t last_row = from_.first + (from_.rows - 1) * from_.stride;
  const int32_t last_pair = from_.dim / 2 - 1;
  const bool halves = from_.style == RopeStyle::kHalfSplit;
  const auto query = static_cast<size_t>((last_row + 1) * row_stride_ - 3 - from_.dim);
  const size_t a = query + static_cast<size_t>(halves ? last_pair : 2 * last_pair);
  const size_t b = a + static_cast<size_t>(halves ? from_.dim / 2 : 1);
  // A distance by which the last pair turns by about an eighth.
  const double frequency = std::pow(10000.0, -2.0 * last_pair / from_.dim);
  const auto distance = static_cast<int32_t>(std::lround(std::atan(1.0) / frequency));
  rope_.Reserve(distance + 1);
  positions_[static_cast<size_t>(last_row)] = distance;
  std::vector<float> queries(static_cast<size_t>(Queries() * from_.dim));
  for (int32_t i = 0; i + 1 < from_.rows; ++i) {
    positions_[static_cast<size_t>(from_.first + i * from_.stride)] = 1;
  }
  for (const float sign : {1.0f, -1.0f}) {
    q_[a] = 3e38f;
    q_[b] = sign * 3e38f;
    SampledQueries sampled = Sampled();
    sampled.scale = 1.0f;
    std::vector<int32_t> by_cpu = {5}, by_device = {5};
    SearchQueries(sampled, rope_, 0, false, queries.data(), by_cpu.data());
    const float* const rotated = queries.data() + (Queries() - 1) * from_.dim;
    EXPECT_NE(std::isfinite(rotated[a - query]), std::isfinite(rotated[b - query]));
    ASSERT_TRUE(
        cuda::SearchQueries(sampled, rope(), 0, false, queries.data(), by_device.data(), nullptr)
            .has_value());
    EXPECT_EQ(by_cpu[0], kNoChoice + 5);
    EXPECT_EQ(by_device[0], kNoChoice + 5);
  }
}

TEST_P(CudaQueries, ScoresOfNearBlocksAreThoseOfTheCpuAndNothingElseIsWritten) {
  TestRandom random(2);
  for (const int32_t near : {1, 6, 9}) {
    const auto keys = random.Normals(static_cast<size_t>(from_.heads * near * from_.dim));
    const int64_t stride = near + 2;
    std::vector<float> expected(static_cast<size_t>(Queries() * stride), -7.0f);
    NearScores(Sampled(), rope_, near, kBlockRows, keys.data(), expected.data(), stride);
    UnderSomeOrders([&] {
      std::vector<float> found(expected.size(), -7.0f);
      ASSERT_TRUE(cuda::NearScores(Sampled(), rope(), near, kBlockRows, keys.data(), found.data(),
                                   stride, nullptr)
                      .has_value());
      for (size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(found[i], expected[i], 1e-4f) << i;
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, CudaQueries,
                         testing::Values(QueryCase{1, 1, 2, 1, 0, 1, RopeStyle::kHalfSplit},
                                         QueryCase{2, 3, 64, 1, 0, 1, RopeStyle::kInterleaved},
                                         QueryCase{3, 2, 80, 4, 2, 3, RopeStyle::kHalfSplit},
                                         QueryCase{2, 4, 256, 2, 0, 1, RopeStyle::kHalfSplit}));

struct PlaceCase {
  const char* name;
  int32_t heads, groups, k, sinks, recent, far, near, crowd;
  bool all;  // candidates are
};

// Lists of one case, by either.
struct PlaceData {
  explicit PlaceData(const PlaceCase& c, uint64_t seed) : from(c) {
    TestRandom random(seed);
    candidates = c.far + c.near;
    gap = c.near > 0 ? 3 : 0;  // blocks that are no candidates
    blocks = c.sinks + candidates + gap + c.recent;
    for (int32_t list = 0; list < c.heads * c.groups; ++list) {
      std::vector<int32_t> drawn(static_cast<size_t>(candidates));
      std::iota(drawn.begin(), drawn.end(), 0);
      for (size_t i = drawn.size(); i > 1; --i) {
        std::swap(drawn[i - 1], drawn[static_cast<size_t>(random.Int(0, static_cast<int>(i) - 1))]);
      }
      // The first near one is always chosen.
      if (c.near > 0) std::iter_swap(drawn.begin(), std::ranges::find(drawn, c.far));
      chosen.insert(chosen.end(), drawn.begin(), drawn.begin() + c.k);
    }
    for (int32_t i = 0; i < c.sinks; ++i) fixed_blocks.push_back(i);
    for (int32_t i = 0; i < c.recent; ++i) fixed_blocks.push_back(blocks - c.recent + i);
    for (size_t i = 0; i < fixed_blocks.size(); ++i) fixed_slots.push_back(static_cast<int>(i) * 3);
    for (int32_t i = 0; i < c.heads * stride(); ++i) table.push_back(static_cast<uint32_t>(5 + i));
  }
  int32_t stride() const { return blocks + 2; }

  struct Lists {
    std::vector<cuda::PlacedBlock> placed;
    std::vector<int32_t> counts, ordinals;
    std::vector<int32_t> missing = {0}, stopped = {0};
  };
  PlaceParams Params(Lists* lists) const {
    const auto count = static_cast<size_t>(from.heads * from.groups);
    const auto per_list = static_cast<size_t>(from.k + from.sinks + from.recent);
    lists->placed.assign(count * per_list, {nullptr, -7, -7});
    lists->counts.assign(count, -7);
    lists->ordinals.assign(count * per_list, -7);
    PlaceParams params;
    params.heads = from.heads;
    params.groups = from.groups;
    params.k = from.k;
    params.fixed = from.sinks + from.recent;
    params.sinks = from.sinks;
    params.block_rows = kBlockRows;
    params.chosen = from.all ? nullptr : chosen.data();
    params.far_begin = from.sinks;
    params.far_count = from.far;
    params.near_begin = from.sinks + from.far + gap;
    params.near_end = params.near_begin + from.near;
    params.first_slot = from.sinks;
    params.crowd = from.crowd;
    params.fixed_blocks = fixed_blocks.data();
    params.fixed_slots = fixed_slots.data();
    params.table = table.data();
    params.table_stride = stride();
    params.slots = reinterpret_cast<const std::byte*>(uintptr_t{1} << 40);
    params.slot_bytes = 192;
    params.counts = lists->counts.data();
    params.ordinals = lists->ordinals.data();
    params.missing = lists->missing.data();
    params.stopped = lists->stopped.data();
    return params;
  }
  Lists OnCpu() const {
    Lists lists;
    PlaceParams params = Params(&lists);
    std::vector<BlockRef> placed(lists.placed.size());
    params.placed = placed.data();
    PlaceBlocks(params);
    for (size_t i = 0; i < placed.size(); ++i) {
      lists.placed[i] = {placed[i].payload, placed[i].position, placed[i].rows};
    }
    return lists;
  }
  Lists OnDevice() const {
    Lists lists;
    const PlaceParams params = Params(&lists);
    EXPECT_TRUE(cuda::PlaceBlocks(params, lists.placed.data(), nullptr).has_value());
    return lists;
  }
  void Compare() const {
    const Lists expected = OnCpu();
    UnderSomeOrders([&] {
      const Lists found = OnDevice();
      EXPECT_EQ(found.counts, expected.counts);
      EXPECT_EQ(found.ordinals, expected.ordinals);
      EXPECT_EQ(found.missing, expected.missing);
      EXPECT_EQ(found.stopped, expected.stopped);
      for (size_t i = 0; i < expected.placed.size(); ++i) {
        ASSERT_EQ(found.placed[i].payload, expected.placed[i].payload) << i;
        ASSERT_EQ(found.placed[i].position, expected.placed[i].position) << i;
        ASSERT_EQ(found.placed[i].rows, expected.placed[i].rows) << i;
      }
    });
  }

  PlaceCase from;
  int32_t candidates, gap, blocks;
  std::vector<int32_t> chosen, fixed_blocks, fixed_slots;
  std::vector<uint32_t> table;
};

class CudaPlacing : public testing::TestWithParam<PlaceCase> {};

TEST_P(CudaPlacing, ListsAreThoseOfTheCpu) {
  const PlaceData data(GetParam(), 3);
  data.Compare();
  const PlaceData::Lists lists = data.OnCpu();
  EXPECT_EQ(lists.missing[0], 0);
  EXPECT_EQ(lists.stopped[0], 0);
  const auto per_list = static_cast<size_t>(data.from.k + data.from.sinks + data.from.recent);
  for (size_t at = 0; at < lists.ordinals.size(); at += per_list) {
    const auto begin = lists.ordinals.begin() + static_cast<int64_t>(at);
    EXPECT_TRUE(std::is_sorted(begin, begin + static_cast<int64_t>(per_list)));
  }
}

TEST_P(CudaPlacing, WhatIsAbsentIsCountedAndItsListIsEmpty) {
  PlaceData data(GetParam(), 4);
  for (size_t i = 0; i < data.table.size(); i += 5) data.table[i] = kAbsent;
  data.Compare();
  data.table.assign(data.table.size(), kAbsent);
  data.Compare();
  const PlaceData::Lists none = data.OnCpu();
  EXPECT_EQ(none.missing[0], static_cast<int32_t>(none.ordinals.size()));
  EXPECT_EQ(none.stopped[0], none.ordinals.empty() ? 0 : 1);
}

INSTANTIATE_TEST_SUITE_P(
    Cases, CudaPlacing,
    testing::Values(PlaceCase{"landmarks", 3, 2, 8, 0, 0, 90, 8, 0, false},
                    PlaceCase{"a_crowd", 2, 1, 40, 0, 0, 300, 10, 30, false},
                    PlaceCase{"sinks_and_recent", 2, 3, 5, 2, 4, 60, 0, 0, false},
                    PlaceCase{"more_than_threads", 2, 1, 150, 1, 30, 200, 0, 0, false},
                    PlaceCase{"all_candidates", 2, 1, 9, 1, 3, 9, 0, 0, true},
                    PlaceCase{"all_near", 2, 2, 6, 0, 0, 0, 6, 0, true},
                    PlaceCase{"only_fixed", 2, 1, 0, 1, 2, 0, 0, 0, true}),
    [](const auto& info) { return std::string(info.param.name); });

TEST(CudaLists, WhoCouldNotChooseSaysSo) {
  PlaceData data({"", 3, 2, 8, 0, 0, 90, 8, 0, false}, 5);
  data.chosen[0] = data.chosen[1] = -1;
  data.Compare();
  EXPECT_EQ(data.OnCpu().missing[0], kNoChoice + 2);
}

TEST(CudaTable, PlacesGetTheirValuesAndOthersKeepTheirs) {
  std::vector<uint32_t> expected(500, 9), found = expected;
  std::vector<int64_t> places;
  std::vector<uint32_t> values;
  for (int64_t place = 3; place < 500; place += 3) {
    places.push_back(place);
    values.push_back(static_cast<uint32_t>(place * 7));
    expected[static_cast<size_t>(place)] = values.back();
  }
  ASSERT_TRUE(cuda::UpdateTable(static_cast<int32_t>(places.size()), places.data(), values.data(),
                                found.data(), nullptr)
                  .has_value());
  EXPECT_EQ(found, expected);
}

}  // namespace
}  // namespace cairn
