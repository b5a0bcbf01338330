#include "kernels/cuda/scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/cuda/chunk_codes.h"
#include "tests/kernels/cuda/coded_chunks.h"
#include "tests/support/cuda_on_cpu/thread_block.h"

namespace cairn {
namespace {

constexpr int32_t kBlockRows = 8;
constexpr int32_t kPosition = 400;

struct ScanCase {
  std::string name;
  DType dtype = DType::kBF16;
  int32_t partitions = 1, group = 1, dim = 64, representatives = 1;
  int32_t coded_blocks = 0;  ///< in whole chunks
  int32_t skipped = 0;       ///< of them, blocks that are no candidates
  int32_t plain_blocks = 0, near = 0, k = 4;
  bool rotated = true, others = false;
  int32_t rows = 1;  ///< that choose together
  RopeStyle style = RopeStyle::kHalfSplit;
  int32_t cut = 0;  ///< the last blocks of the codes, that are none either
};
void PrintTo(const ScanCase& from, std::ostream* os) { *os << from.name; }

struct ScanOutcome {
  std::vector<float> lse, log_weights;
  std::vector<int32_t> chosen, missing;
};

// Memory of a scan, which device and CPU read alike.
class ScanData {
 public:
  explicit ScanData(const ScanCase& from)
      : from_(from),
        chunk_blocks_(std::max(1, cuda::kMostChunkVectors / from.representatives)),
        coded_(from.dtype, from.partitions, from.coded_blocks / chunk_blocks_,
               chunk_blocks_ * from.representatives, from.dim),
        plain_(from.dtype, from.partitions, 1,
               std::max(1, from.plain_blocks * from.representatives), from.dim),
        rope_(from.style, RopeTable::InverseFrequencies(10000.0, (from.dim + 1) / 2 * 2)) {
    rope_.Reserve(kPosition + from.rows);
    coded_.SetAllRandom(1);
    plain_.SetAllRandom(2);
    coded_.CodeAll();
    TestRandom random(3);
    const int32_t queries = from.partitions * from.group;
    stride = int64_t{queries} * from.dim + 3;
    q = random.Normals(static_cast<size_t>((2 * from.rows + 1) * stride), 0.5f);
    positions.resize(static_cast<size_t>(2 * from.rows + 1));
    std::iota(positions.begin(), positions.end(), kPosition - from.rows - 1);
    near_keys = random.Normals(static_cast<size_t>(from.partitions * from.near * from.dim), 3.0f);
    other_lse = random.Normals(static_cast<size_t>(queries * from.rows), 3.0f);
  }

  ScanParams Params() const {
    ScanParams params;
    params.queries = {from_.partitions, from_.group,      from_.dim, from_.rows, q.data(),
                      stride,           positions.data(), 1,         2,          0.3f};
    params.slot_position = 3 * kBlockRows;
    params.bf16 = from_.dtype == DType::kBF16;
    params.representatives = from_.representatives;
    if (from_.coded_blocks > 0) {
      const int64_t first = int64_t{from_.skipped} * from_.representatives;
      params.codes = coded_.Scoring(
          first, int64_t{from_.coded_blocks - from_.cut} * from_.representatives - first, 0,
          nullptr);
    }
    params.plain = plain_.Stored(int64_t{from_.plain_blocks} * from_.representatives);
    params.near = from_.near;
    params.block_rows = kBlockRows;
    params.near_keys = near_keys.data();
    params.k = from_.k;
    params.other_lse = from_.others ? other_lse.data() : nullptr;
    return params;
  }

  template <class Function>
  ScanOutcome Run(const Function& scan) const {
    ScanParams params = Params();
    ScanOutcome outcome;
    outcome.lse.resize(other_lse.size(), std::nanf(""));
    outcome.chosen.resize(static_cast<size_t>(from_.partitions * from_.k), -7);
    outcome.log_weights.resize(outcome.chosen.size(), std::nanf(""));
    outcome.missing = {5};
    params.lse = outcome.lse.data();
    params.chosen = outcome.chosen.data();
    params.log_weights = outcome.log_weights.data();
    params.missing = outcome.missing.data();
    scan(params);
    return outcome;
  }
  ScanOutcome OnCpu() const {
    return Run([this](const ScanParams& params) {
      ScanLandmarks(params, from_.rotated ? &rope_ : nullptr);
    });
  }
  // Twice, as a launch leaves behind what the next one begins with; the second overlaps it.
  ScanOutcome OnDevice() const {
    std::vector<int32_t> arrived(static_cast<size_t>(from_.partitions), 0);
    ScanOutcome outcome;
    for (int time = 0; time < 2; ++time) {
      outcome = Run([&](ScanParams params) {
        params.overlaps = time == 1;
        ASSERT_TRUE(cuda::TakesScan(params));
        std::vector<float> scratch(cuda::ScanScratchFloats(params), std::nanf(""));
        const cuda::DeviceRope rope = {rope_.at(0), rope_.positions(), rope_.style()};
        ASSERT_TRUE(cuda::ScanLandmarks(params, from_.rotated ? &rope : nullptr, scratch.data(),
                                        arrived.data(), nullptr)
                        .has_value());
      });
    }
    EXPECT_EQ(arrived, std::vector<int32_t>(arrived.size(), 0));
    return outcome;
  }

  int64_t stride;
  std::vector<float> q, near_keys, other_lse;
  std::vector<int32_t> positions;

 protected:
  const ScanCase from_;
  const int32_t chunk_blocks_;

 public:
  Chunks coded_, plain_;

 private:
  RopeTable rope_;
};

class CudaScan : public testing::TestWithParam<ScanCase> {};

// Where two blocks weigh nearly the same, either may come first.
void ExpectSame(const ScanCase& from, const ScanOutcome& found, const ScanOutcome& expected) {
  constexpr float kNear = 2e-4f;
  for (size_t i = 0; i < expected.lse.size(); ++i) {
    ASSERT_NEAR(found.lse[i], expected.lse[i], kNear) << "row " << i;
  }
  const auto k = static_cast<size_t>(from.k);
  for (size_t i = 0; i < expected.chosen.size(); ++i) {
    ASSERT_NEAR(found.log_weights[i], expected.log_weights[i], kNear) << "place " << i;
    const auto near = [&](size_t j) {
      return expected.log_weights[i] != expected.log_weights[j] &&
             std::fabs(expected.log_weights[i] - expected.log_weights[j]) < kNear;
    };
    const bool doubtful = i % k + 1 == k || near(i + 1) || (i % k > 0 && near(i - 1));
    if (doubtful) continue;
    ASSERT_EQ(found.chosen[i], expected.chosen[i]) << "place " << i;
  }
  EXPECT_EQ(found.missing, expected.missing);
}

TEST_P(CudaScan, AgreesWithReference) {
  const ScanData data(GetParam());
  const ScanOutcome expected = data.OnCpu();
  ScanOutcome first;
  for (uint64_t order = 0; order < 3; ++order) {
    SCOPED_TRACE(order);
    cuda_on_cpu::SetOrderSeed(TestSeed() + order);
    const ScanOutcome found = data.OnDevice();
    ExpectSame(GetParam(), found, expected);
    if (order == 0) first = found;
    EXPECT_EQ(found.chosen, first.chosen);
    EXPECT_EQ(found.lse, first.lse);
    EXPECT_EQ(found.log_weights, first.log_weights);
  }
}

constexpr DType kBf = DType::kBF16, kF32 = DType::kF32;
INSTANTIATE_TEST_SUITE_P(
    Cases, CudaScan,
    testing::Values(ScanCase{"one_block", kBf, 1, 1, 64, 1, 0, 0, 1, 0, 1},
                    ScanCase{"one_near_block", kBf, 2, 2, 64, 1, 0, 0, 0, 1, 1},
                    ScanCase{"vectors", kBf, 2, 4, 128, 1, 0, 0, 300, 0, 8},
                    ScanCase{"codes", kBf, 2, 4, 128, 1, 512, 0, 0, 0, 8},
                    ScanCase{"all_kinds", kBf, 3, 4, 128, 1, 512, 3, 77, 40, 32, true, true},
                    ScanCase{"interleaved", kBf, 2, 3, 80, 1, 256, 1, 33, 5, 6, true, true, 2,
                             RopeStyle::kInterleaved},
                    ScanCase{"rows_together", kBf, 2, 2, 64, 1, 256, 0, 20, 3, 5, true, false, 4},
                    ScanCase{"eight_heads", kF32, 1, 8, 64, 1, 256, 9, 100, 7, 12, true, true},
                    ScanCase{"f32_vectors", kF32, 2, 2, 128, 1, 0, 0, 90, 4, 10},
                    ScanCase{"large", kBf, 1, 2, 256, 1, 256, 130, 40, 2, 9, true, true},
                    ScanCase{"large_f32", kF32, 1, 2, 250, 1, 256, 255, 35, 0, 9},
                    ScanCase{"small_dim", kBf, 1, 2, 6, 1, 256, 2, 10, 4, 5},
                    ScanCase{"codes_cut", kBf, 2, 2, 64, 1, 512, 3, 0, 6, 30, true, false, 1,
                             RopeStyle::kHalfSplit, 150},
                    ScanCase{"large_codes_cut", kBf, 1, 2, 256, 1, 512, 3, 0, 0, 30, true, false, 1,
                             RopeStyle::kHalfSplit, 20},
                    ScanCase{"means_cut", kBf, 1, 2, 64, 4, 128, 3, 0, 0, 30, true, false, 1,
                             RopeStyle::kHalfSplit, 33},
                    ScanCase{"as_they_are", kBf, 2, 3, 77, 1, 256, 40, 60, 0, 20, false, true},
                    ScanCase{"four_means", kBf, 2, 4, 64, 4, 128, 5, 50, 0, 16, true, true},
                    ScanCase{"three_means", kBf, 2, 2, 128, 3, 170, 1, 31, 0, 16, false},
                    ScanCase{"three_large_means", kBf, 1, 2, 256, 3, 170, 1, 20, 0, 30, false},
                    ScanCase{"a_run_is_a_block", kBf, 1, 2, 128, 100, 4, 1, 3, 0, 4, false},
                    ScanCase{"many_means", kBf, 1, 1, 64, 256, 2, 0, 3, 0, 5, false, true},
                    ScanCase{"only_log_sums", kBf, 2, 2, 64, 1, 256, 0, 30, 0, 0, false, true},
                    ScanCase{"all_blocks", kBf, 2, 2, 64, 1, 0, 0, 90, 20, 110},
                    ScanCase{"most_chosen", kBf, 1, 2, 64, 1, 1536, 7, 100, 0, 128, false},
                    ScanCase{"most_of_many", kBf, 1, 1, 16, 1, 6144, 7, 0, 0, 128, false},
                    ScanCase{"more_subs_than_keys", kBf, 1, 1, 16, 64, 1040, 0, 0, 0, 33, false}),
    [](const auto& info) { return info.param.name; });

// Equal blocks are chosen in their order, whatever kind they are of and wherever they lie.
TEST(CudaScanTies, TheFirstAreChosen) {
  for (const int32_t coded : {0, 256}) {
    ScanData data({"", kBf, 2, 2, 64, 1, coded, coded / 2, 300, 0, 70, false, true});
    const std::vector<float> same(64, 0.5f);
    for (int32_t p = 0; p < 2; ++p) {
      for (int32_t block = 0; block < coded; ++block) data.coded_.Set(p, block, same.data());
      for (int32_t block = 0; block < 300; ++block) data.plain_.Set(p, block, same.data());
    }
    data.coded_.CodeAll();
    std::vector<int32_t> expected(140);
    std::iota(expected.begin(), expected.begin() + 70, 0);
    std::iota(expected.begin() + 70, expected.end(), 0);
    EXPECT_EQ(data.OnDevice().chosen, expected);
    EXPECT_EQ(data.OnCpu().chosen, expected);
  }
}

// Of two values, the blocks with the larger one, which lie anywhere, and then the first others.
TEST(CudaScanTies, FewHeavyBlocksAnywhere) {
  for (const int32_t apart : {1, 31, 32, 128}) {
    ScanData data({"", kBf, 1, 1, 64, 1, 0, 0, 1300, 0, 12, false});
    std::vector<float> numbers(64, 0.0f);
    std::fill(data.q.begin(), data.q.end(), 1.0f);
    for (int32_t block = 0; block < 1300; ++block) data.plain_.Set(0, block, numbers.data());
    numbers[5] = 4.0f;
    std::vector<int32_t> expected;
    for (int32_t i = 0; i < 10; ++i) {
      data.plain_.Set(0, 3 + i * apart, numbers.data());
      expected.push_back(3 + i * apart);
    }
    expected.insert(expected.end(), {0, 1});
    EXPECT_EQ(data.OnDevice().chosen, expected) << apart;
  }
}

TEST(CudaScanQueries, ThoseThatAreNoNumbersAreNoticed) {
  for (const int32_t coded : {0, 256}) {
    ScanData data({"", kBf, 2, 2, 64, 1, coded, 0, 40, 3, 5});
    data.q[static_cast<size_t>(2 * data.stride) - 4] = std::numeric_limits<float>::infinity();
    const ScanOutcome found = data.OnDevice();
    EXPECT_EQ(found.missing[0], kNoChoice + 5);
    EXPECT_EQ(data.OnCpu().missing[0], kNoChoice + 5);
    for (const int32_t block : found.chosen) {
      EXPECT_TRUE(block >= 0 && block < coded + 43) << block;
    }
  }
}

TEST(CudaScanLimits, WhatItDoesNotTake) {
  const ScanCase fits = {"", kBf, 1, 8, 64, 1, 256, 0, 40, 0, 5, false};
  const auto takes = [](const ScanCase& from) { return cuda::TakesScan(ScanData(from).Params()); };
  EXPECT_TRUE(takes(fits));
  ScanCase nine = fits, no_rows = fits, many = fits, wide = fits, long_blocks = fits;
  nine.group = 9;
  no_rows.rows = 0;
  many.coded_blocks = 0;
  many.plain_blocks = 129;
  many.k = 129;
  wide.dim = 258;
  wide.coded_blocks = 0;
  long_blocks.dim = 200;
  long_blocks.representatives = 129;
  EXPECT_FALSE(takes(nine));
  EXPECT_FALSE(takes(no_rows));
  EXPECT_FALSE(takes(many));
  EXPECT_FALSE(takes(wide));
  EXPECT_FALSE(takes(long_blocks));
  ScanParams nothing = ScanData(fits).Params();
  nothing.codes.vectors = nothing.plain.vectors = 0;
  EXPECT_FALSE(cuda::TakesScan(nothing));
}

}  // namespace
}  // namespace cairn
