// The contract of LandmarkIndex, run over every implementation and setting.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <thread>
#include <vector>

#include "base/parallel.h"
#include "tests/index/index_oracle.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

class IndexContract : public testing::TestWithParam<IndexSetting> {
 protected:
  static std::vector<float> Queries(int32_t partitions, int32_t rows, int32_t dim, uint64_t seed) {
    TestRandom random(seed);
    return random.Normals(static_cast<size_t>(partitions * rows * dim), 0.5f);
  }
  static SearchRequest Request(int32_t rows, int32_t rows_per_group, int64_t begin, int64_t end,
                               int32_t k) {
    SearchRequest request;
    request.rows = rows;
    request.rows_per_group = rows_per_group;
    request.begin = begin;
    request.end = end;
    request.k = k;
    return request;
  }
};

TEST_P(IndexContract, SearchesRangesWhileGrowing) {
  IndexUnderTest test(GetParam(), 2, 64);
  uint64_t seed = 100;
  for (const int64_t added : {1, 3, 4, 60, 4, 500, 900}) {
    test.AddRandom(added, ++seed);
    const int64_t n = test.size();
    for (const int32_t rows : {1, 3, 16}) {
      const std::vector<float> queries = Queries(2, rows, 64, ++seed);
      test.SearchAndCheck(Request(rows, rows, 0, n, 4), queries);
      test.SearchAndCheck(Request(rows, 2, n / 3, n, 3), queries);
      test.SearchAndCheck(Request(rows, 1, n / 5, n - n / 4, 7), queries);
    }
  }
}

TEST_P(IndexContract, ManyRowsAndGroups) {
  IndexUnderTest test(GetParam(), 2, 64);
  test.AddRandom(150, 1);
  for (const int32_t rows : {1, 3, 16, 17, 768}) {
    const std::vector<float> queries = Queries(2, rows, 64, 2);
    for (const int32_t per_group : {1, 3, 64, 200, 768, 1000}) {
      if (rows < 768 && per_group > 64) continue;
      test.SearchAndCheck(Request(rows, per_group, 2, 149, 8), queries);
    }
  }
}

TEST_P(IndexContract, OddDimensions) {
  for (const int32_t dim : {4, 20, 36, 128}) {
    IndexUnderTest test(GetParam(), 1, dim);
    test.AddRandom(77, 1);
    for (const int32_t rows : {1, 4, 21}) {
      test.SearchAndCheck(Request(rows, 3, 0, 77, 5), Queries(1, rows, dim, 2));
    }
  }
}

TEST_P(IndexContract, EmptyRangesAndLargeK) {
  IndexUnderTest test(GetParam(), 2, 64);
  const std::vector<float> queries = Queries(2, 20, 64, 1);
  test.SearchAndCheck(Request(20, 4, 0, 0, 5), queries);
  test.AddRandom(30, 2);
  for (const int32_t rows : {1, 3, 20}) {
    SearchResult result = test.SearchAndCheck(Request(rows, 4, 12, 12, 5), queries);
    EXPECT_TRUE(result.ordinals.empty());
    EXPECT_TRUE(result.lse_exact);
    result = test.SearchAndCheck(Request(rows, 4, 3, 30, 100), queries);
    EXPECT_EQ(result.k, 27);
    EXPECT_TRUE(result.lse_exact);
    result = test.SearchAndCheck(Request(rows, 4, 3, 30, 0), queries);
    EXPECT_EQ(result.k, 0);
  }
  const SearchResult result = test.SearchAndCheck(Request(0, 4, 3, 30, 2), queries);
  EXPECT_EQ(result.groups, 0);
}

TEST_P(IndexContract, JoinsTheCallersLse) {
  IndexUnderTest test(GetParam(), 2, 64);
  test.AddRandom(90, 1);
  for (const int32_t rows : {3, 17}) {
    const std::vector<float> queries = Queries(2, rows, 64, 2);
    TestRandom random(3);
    std::vector<float> other = random.Normals(static_cast<size_t>(2 * rows), 8.0f);
    other[1] = -std::numeric_limits<float>::infinity();
    test.SearchAndCheck(Request(rows, rows, 5, 90, 4), queries, other);
    const SearchResult empty = test.SearchAndCheck(Request(rows, rows, 5, 5, 4), queries, other);
    EXPECT_EQ(empty.lse, other);
  }
}

TEST_P(IndexContract, PartitionsAreApart) {
  IndexUnderTest test(GetParam(), 3, 64);
  test.AddRandom(40, 1);
  const std::vector<float> queries = Queries(3, 5, 64, 2);
  const SearchResult all = test.SearchAndCheck(Request(5, 5, 0, 40, 6), queries);
  for (int32_t p = 0; p < 3; ++p) {
    SearchRequest request = Request(5, 5, 0, 40, 6);
    request.first_partition = p;
    request.queries = queries.data() + p * 5 * 64;
    SearchResult one;
    ASSERT_TRUE(test.index->Search(request, &one).has_value());
    const auto begin = all.ordinals.begin() + p * 6;
    EXPECT_EQ(one.ordinals, std::vector<int64_t>(begin, begin + 6));
  }
  // One partition may be ahead of another.
  const std::vector<float> more = Queries(1, 2 * test.representatives, 64, 3);
  ASSERT_TRUE(test.index->Add(1, 1, 2, more.data()).has_value());
  EXPECT_EQ(test.index->size(0), 40);
  EXPECT_EQ(test.index->size(1), 42);
  EXPECT_EQ(test.index->size(2), 40);
}

TEST_P(IndexContract, RefusesWhatIsNotFinite) {
  IndexUnderTest test(GetParam(), 2, 64);
  test.AddRandom(10, 1);
  for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    for (const int32_t rows : {2, 20}) {
      std::vector<float> queries = Queries(2, rows, 64, 2);
      queries.back() = bad;
      SearchRequest request = Request(rows, 1, 0, 10, 2);
      request.partition_count = 2;
      request.queries = queries.data();
      SearchResult result;
      const Status status = test.index->Search(request, &result);
      ASSERT_FALSE(status.has_value());
      EXPECT_EQ(status.error().code, Errc::kInvalidArgument);
    }
    std::vector<float> vectors = Queries(2, test.representatives, 64, 3);
    vectors.back() = bad;
    const Status status = test.index->Add(0, 2, 1, vectors.data());
    ASSERT_FALSE(status.has_value());
    EXPECT_EQ(status.error().code, Errc::kInvalidArgument);
    EXPECT_EQ(test.index->size(0), 10);
    EXPECT_EQ(test.index->size(1), 10);
  }
}

TEST_P(IndexContract, TruncatesAndGrowsAgain) {
  IndexUnderTest test(GetParam(), 2, 64);
  uint64_t seed = 1;
  for (const int64_t kept : {1400, 1100, 1024, 341, 7, 0}) {
    test.AddRandom(1500 - test.size(), ++seed);
    test.Truncate(5000);
    EXPECT_EQ(test.size(), 1500);
    test.Truncate(kept);
    test.AddRandom(9, ++seed);
    for (const int32_t rows : {3, 18}) {
      test.SearchAndCheck(Request(rows, rows, 0, kept + 9, 5), Queries(2, rows, 64, ++seed));
    }
  }
}

TEST_P(IndexContract, CountsItsMemory) {
  IndexUnderTest test(GetParam(), 2, 64);
  EXPECT_EQ(test.index->memory_bytes(), 0u);
  const bool codes = test.approximate();
  const uint64_t element = codes                               ? 1
                           : test.index->name() == "faiss"     ? 4
                           : test.index->name() == "faiss-gpu" ? 2 * DTypeBytes(test.dtype)
                                                               : DTypeBytes(test.dtype);
  const uint64_t block_bytes = 2 * test.block_floats() * element;
  uint64_t seed = 1;
  for (int i = 0; i < 300; ++i) {
    test.AddRandom(4, ++seed);
    const uint64_t used = static_cast<uint64_t>(test.size()) * block_bytes;
    EXPECT_GE(test.index->memory_bytes(), used);
    if (test.leaves_out()) {  // and tiles that are not full, scales, numbers and centres
      EXPECT_LE(test.index->memory_bytes(), used + used / 2 + 2 * 256 * 64 * 4);
    } else if (test.index->name() == "device int8") {  // that, and room for a quarter more
      EXPECT_LE(test.index->memory_bytes(), used + used / 3 + 2 * 256 * 64 * 4);
    } else if (codes) {  // and scales, and what is not coded yet: less than 256 vectors as f32
      EXPECT_LE(test.index->memory_bytes(), used + used / 25 + 2 * 256 * 64 * 4);
    } else {  // doubling, then whole chunks of 1,024 vectors; at least 64 vectors each
      EXPECT_LE(test.index->memory_bytes(), 2 * used + 2 * 64 * 64 * element);
    }
  }
}

TEST_P(IndexContract, FindsTheBest) {
  IndexUnderTest test(GetParam(), 1, 64);
  test.AddRandom(3000, 1);
  int64_t found = 0;
  int64_t all = 0;
  for (const int32_t rows : {3, 24}) {
    const std::vector<float> queries = Queries(1, rows, 64, 2);
    const SearchResult result = test.SearchAndCheck(Request(rows, 3, 10, 2990, 16), queries);
    IndexUnderTest exact({IndexKind::kExact, DType::kF32, test.representatives}, 1, 64);
    exact.AddRandom(3000, 1);
    const SearchResult best = exact.SearchAndCheck(Request(rows, 3, 10, 2990, 16), queries);
    for (int32_t g = 0; g < result.groups; ++g) {
      const auto begin = best.ordinals.begin() + g * 16;
      for (int32_t i = 0; i < 16; ++i) {
        found += std::count(begin, begin + 16, result.ordinals[static_cast<size_t>(g * 16 + i)]);
        ++all;
      }
    }
  }
  EXPECT_GE(static_cast<double>(found), 0.95 * static_cast<double>(all));
}

TEST_P(IndexContract, DoesNotDependOnHowMuchIsAddedAtOnce) {
  IndexUnderTest once(GetParam(), 1, 64);
  IndexUnderTest often(GetParam(), 1, 64);
  TestRandom random(1);
  const std::vector<float> vectors = random.Normals(700 * once.block_floats());
  once.Add(700, vectors);
  for (int64_t at = 0; at < 700; at += 7) {
    const auto begin = vectors.begin() + at * static_cast<int64_t>(once.block_floats());
    often.Add(7, {begin, begin + 7 * static_cast<int64_t>(once.block_floats())});
  }
  for (const int32_t rows : {3, 40}) {
    const std::vector<float> queries = Queries(1, rows, 64, 2);
    const SearchRequest request = Request(rows, rows, 2, 690, 9);
    const SearchResult a = once.SearchAndCheck(request, queries);
    const SearchResult b = often.SearchAndCheck(request, queries);
    EXPECT_EQ(a.ordinals, b.ordinals);
    EXPECT_EQ(a.log_weights, b.log_weights);
    EXPECT_EQ(a.lse, b.lse);
  }
}

TEST_P(IndexContract, SameBitsWithAnyNumberOfThreads) {
  IndexUnderTest test(GetParam(), 2, 64);
  test.AddRandom(1300, 1);
  const int threads = Threads();
  for (const int32_t rows : {3, 300}) {
    const std::vector<float> queries = Queries(2, rows, 64, 2);
    for (const int32_t per_group : {3, 300}) {
      SearchRequest request = Request(rows, per_group, 1, 1299, 6);
      request.partition_count = 2;
      request.queries = queries.data();
      SearchResult one;
      SearchResult two;
      SetThreads(1);
      ASSERT_TRUE(test.index->Search(request, &one).has_value());
      SetThreads(3);
      ASSERT_TRUE(test.index->Search(request, &two).has_value());
      EXPECT_EQ(one.ordinals, two.ordinals);
      EXPECT_EQ(one.log_weights, two.log_weights);
      EXPECT_EQ(one.lse, two.lse);
    }
  }
  SetThreads(threads);
}

TEST_P(IndexContract, SearchesOnePartitionWhileAnotherGrows) {
  IndexUnderTest test(GetParam(), 2, 64);
  test.AddRandom(200, 1);
  const std::vector<float> queries = Queries(1, 3, 64, 2);
  const std::vector<float> vectors = Queries(1, 4 * test.representatives, 64, 3);
  SearchRequest request = Request(3, 3, 0, 200, 4);
  request.queries = queries.data();
  SearchResult first;
  ASSERT_TRUE(test.index->Search(request, &first).has_value());
  std::atomic<bool> done{false};
  std::thread writer([&] {
    for (int i = 0; i < 200; ++i) {
      EXPECT_TRUE(test.index->Add(1, 1, 4, vectors.data()).has_value());
    }
    done = true;
  });
  do {
    SearchResult result;
    EXPECT_TRUE(test.index->Search(request, &result).has_value());
    EXPECT_EQ(result.ordinals, first.ordinals);
    EXPECT_GT(test.index->memory_bytes(), 0u);
  } while (!done);
  writer.join();
  EXPECT_EQ(test.index->size(1), 1000);
}

INSTANTIATE_TEST_SUITE_P(Settings, IndexContract, testing::ValuesIn(AllSettings()),
                         [](const auto& info) { return SettingName(info.param); });

}  // namespace
}  // namespace cairn
