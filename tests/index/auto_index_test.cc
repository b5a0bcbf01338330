// The index that is exact while there are few vectors, and lists from then on.
#include <gtest/gtest.h>

#include <vector>

#include "tests/index/index_oracle.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

// Exact up to so many vectors, and lists from there on.
TEST(AutoIndex, GoesOverToLists) {
  constexpr int32_t kDim = 16;
  IndexUnderTest test({IndexKind::kAuto, DType::kBF16, 1}, 2, kDim);
  test.AddRandom(8'188, 1);
  const uint64_t before = test.index->memory_bytes();
  TestRandom random(2);
  SearchRequest request;
  request.rows = 3;
  request.rows_per_group = 3;
  request.begin = 5;
  request.k = 8;
  for (int step = 0; step < 3; ++step) {
    request.end = test.size() - 1;
    const SearchResult result = test.SearchAndCheck(request, random.Normals(2 * 3 * kDim, 0.5f));
    EXPECT_EQ(result.lse_exact, step == 0);
    test.AddRandom(4, 3 + static_cast<uint64_t>(step));
  }
  EXPECT_LT(test.index->memory_bytes(), 3 * before);
  // One partition may have lists while another has not.
  const std::vector<float> more = random.Normals(40 * kDim);
  IndexUnderTest apart({IndexKind::kAuto, DType::kBF16, 1}, 2, kDim);
  apart.AddRandom(8'170, 1);
  ASSERT_TRUE(apart.index->Add(1, 1, 40, more.data()).has_value());
  request.end = apart.size();
  apart.SearchAndCheck(request, random.Normals(2 * 3 * kDim, 0.5f));
}

// A session that is opened need not wait for lists; with them it finds what it would have found.
TEST(AutoIndex, MakesTheListsOfWhatIsLoadedLater) {
  constexpr int32_t kDim = 16, kPartitions = 3;
  constexpr int64_t kBlocks = 9'000;
  const IndexOptions options{
      .kind = IndexKind::kAuto, .partitions = kPartitions, .dim = kDim, .dtype = DType::kBF16};
  const auto added = MakeIndex(options).value();
  const auto loaded = MakeIndex(options).value();
  TestRandom random(1);
  const std::vector<float> vectors = random.Normals(kPartitions * kBlocks * kDim);
  ASSERT_TRUE(added->Add(0, kPartitions, kBlocks, vectors.data()).has_value());
  ASSERT_TRUE(loaded->Load(0, kPartitions, kBlocks, vectors.data()).has_value());
  const std::vector<float> queries = random.Normals(kPartitions * 3 * kDim, 0.5f);
  SearchRequest request;
  request.partition_count = kPartitions;
  request.queries = queries.data();
  request.rows = request.rows_per_group = 3;
  request.end = kBlocks;
  request.k = 8;
  SearchResult expected, found;
  ASSERT_TRUE(added->Search(request, &expected).has_value());
  EXPECT_FALSE(expected.lse_exact);
  ASSERT_TRUE(loaded->Search(request, &found).has_value());
  EXPECT_TRUE(found.lse_exact);
  loaded->Settle(2);
  ASSERT_TRUE(loaded->Search(request, &found).has_value());  // some with lists, one without
  EXPECT_FALSE(found.lse_exact);
  SearchRequest last = request;
  last.first_partition = kPartitions - 1;
  last.partition_count = 1;
  last.queries += (kPartitions - 1) * 3 * kDim;
  ASSERT_TRUE(loaded->Search(last, &found).has_value());
  EXPECT_TRUE(found.lse_exact);
  loaded->Settle(2);
  ASSERT_TRUE(loaded->Search(last, &found).has_value());
  EXPECT_FALSE(found.lse_exact);
  ASSERT_TRUE(loaded->Search(request, &found).has_value());
  EXPECT_EQ(found.ordinals, expected.ordinals);
  EXPECT_EQ(found.log_weights, expected.log_weights);
  EXPECT_EQ(found.lse, expected.lse);
  EXPECT_EQ(loaded->memory_bytes(), added->memory_bytes());
  added->Settle(100);  // nothing waits
  ASSERT_TRUE(added->Search(request, &found).has_value());
  EXPECT_EQ(found.ordinals, expected.ordinals);
}

// Scores of all rows would take more memory than a search may use at once.
TEST(ExactIndex, ManyBlocks) {
  IndexUnderTest test({IndexKind::kExact, DType::kBF16, 1}, 1, 16);
  test.AddRandom(70'000, 1);
  TestRandom random(2);
  SearchRequest request;
  request.rows = 100;
  request.begin = 3;
  request.end = 69'999;
  request.k = 20;
  for (const int32_t per_group : {1, 7, 100}) {
    request.rows_per_group = per_group;
    test.SearchAndCheck(request, random.Normals(100 * 16, 0.5f));
  }
}

}  // namespace
}  // namespace cairn
