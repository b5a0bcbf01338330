// Equal representatives must tie exactly, and ties go to the lowest ordinal: in the first layer of
// a landmark model every far block ties.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "tests/index/index_oracle.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

class IndexTies : public testing::TestWithParam<IndexSetting> {};
class ExactTies : public testing::TestWithParam<IndexSetting> {};

SearchRequest Request(int32_t rows, int32_t rows_per_group, int64_t begin, int64_t end, int32_t k) {
  SearchRequest request;
  request.rows = rows;
  request.rows_per_group = rows_per_group;
  request.begin = begin;
  request.end = end;
  request.k = k;
  return request;
}

// Blocks out of `distinct` different ones, the same in every partition.
std::vector<float> Repeated(const IndexUnderTest& test, const std::vector<int64_t>& kinds,
                            int64_t distinct) {
  TestRandom random(1);
  const std::vector<float> blocks =
      random.Normals(static_cast<size_t>(distinct) * test.block_floats());
  std::vector<float> vectors;
  for (int32_t p = 0; p < test.partitions; ++p) {
    for (const int64_t kind : kinds) {
      const auto begin = blocks.begin() + kind * static_cast<int64_t>(test.block_floats());
      vectors.insert(vectors.end(), begin, begin + static_cast<int64_t>(test.block_floats()));
    }
  }
  return vectors;
}

TEST_P(IndexTies, AllBlocksEqual) {
  for (const int32_t dim : {64, 20}) {
    IndexUnderTest test(GetParam(), 2, dim);
    test.Add(1200, Repeated(test, std::vector<int64_t>(1200, 0), 1));
    for (const int32_t rows : {1, 3, 17, 150}) {
      TestRandom random(2);
      const std::vector<float> queries = random.Normals(static_cast<size_t>(2 * rows * dim));
      const SearchResult result = test.SearchAndCheck(Request(rows, rows, 5, 1197, 9), queries);
      std::vector<int64_t> expected(9);
      std::iota(expected.begin(), expected.end(), 5);
      EXPECT_EQ(std::vector<int64_t>(result.ordinals.begin(), result.ordinals.begin() + 9),
                expected);
      EXPECT_EQ(std::vector<int64_t>(result.ordinals.begin() + 9, result.ordinals.end()), expected);
      EXPECT_TRUE(result.lse_exact || test.approximate());
    }
  }
}

TEST_P(ExactTies, FewDistinctBlocks) {
  constexpr int64_t kBlocks = 600;
  IndexUnderTest test(GetParam(), 1, 64);
  TestRandom random(3);
  std::vector<int64_t> kinds;
  for (int64_t b = 0; b < kBlocks; ++b) kinds.push_back(random.Int(0, 4));
  test.Add(kBlocks, Repeated(test, kinds, 5));
  for (const int32_t rows : {1, 4, 16, 40, 140}) {
    const std::vector<float> queries = random.Normals(static_cast<size_t>(rows) * 64);
    for (const int32_t per_group : {1, rows}) {
      const SearchResult result =
          test.SearchAndCheck(Request(rows, per_group, 0, kBlocks, 150), queries);
      for (int32_t g = 0; g < result.groups; ++g) {
        // Runs of equal weight must be the first blocks of one kind, in order.
        const auto* ordinals = result.ordinals.data() + g * result.k;
        for (int32_t i = 0; i < result.k; ++i) {
          const int64_t kind = kinds[static_cast<size_t>(ordinals[i])];
          const auto count = std::count(kinds.begin(), kinds.begin() + ordinals[i], kind);
          int64_t before = 0;
          for (int32_t j = 0; j < i; ++j) {
            before += kinds[static_cast<size_t>(ordinals[j])] == kind ? 1 : 0;
          }
          ASSERT_EQ(count, before) << "row " << g << " choice " << i;
        }
      }
    }
  }
}

// Codes of several vectors of a block are not those of the f32 vectors behind the last chunk.
std::vector<IndexSetting> EqualBlockSettings() {
  std::vector<IndexSetting> settings = ExactSettings();
  settings.push_back({IndexKind::kInt8, DType::kF32, 1});
  return settings;
}

INSTANTIATE_TEST_SUITE_P(Settings, IndexTies, testing::ValuesIn(EqualBlockSettings()),
                         [](const auto& info) { return SettingName(info.param); });
INSTANTIATE_TEST_SUITE_P(Settings, ExactTies, testing::ValuesIn(ExactSettings()),
                         [](const auto& info) { return SettingName(info.param); });

}  // namespace
}  // namespace cairn
