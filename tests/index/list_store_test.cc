#include "index/list_store.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/dtype.h"
#include "tests/support/random.h"

namespace cairn {
namespace {

constexpr int64_t kFrom = 256;

// Vectors around `groups` points: what lists are for.
std::vector<float> Grouped(int64_t count, int32_t dim, int64_t groups, uint64_t seed) {
  TestRandom random(seed);
  const std::vector<float> points = random.Normals(static_cast<size_t>(groups * dim), 4.0f);
  std::vector<float> vectors = random.Normals(static_cast<size_t>(count * dim));
  for (int64_t v = 0; v < count; ++v) {
    const int64_t group = random.Int(0, groups - 1);
    for (int32_t d = 0; d < dim; ++d) {
      vectors[static_cast<size_t>(v * dim + d)] += points[static_cast<size_t>(group * dim + d)];
    }
  }
  return vectors;
}

// All vectors of a listed store by their numbers; every number must be there once.
std::vector<float> ReadAll(const ListStore& store) {
  const int64_t count = store.size() * store.representatives();
  std::vector<float> all(static_cast<size_t>(count * store.dim()));
  std::vector<int> seen(static_cast<size_t>(count));
  for (const VectorList& list : store.lists()) {
    EXPECT_TRUE(std::is_sorted(list.numbers.begin(), list.numbers.end()));
    EXPECT_GE(list.scales.size(), list.numbers.size() + 15);
    for (int64_t place = 0; place < list.count(); ++place) {
      const auto number = static_cast<size_t>(list.numbers[static_cast<size_t>(place)]);
      ++seen[number];
      store.Read(list, place, all.data() + number * static_cast<size_t>(store.dim()));
    }
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), count);
  return all;
}

TEST(ListStore, KeepsEveryVectorNearItself) {
  for (const int32_t dim : {20, 64}) {
    for (const int32_t representatives : {1, 3}) {
      ListStore store(DType::kBF16, dim, representatives, kFrom);
      const int64_t blocks = 3000 / representatives;
      const std::vector<float> given = Grouped(blocks * representatives, dim, 40, 1);
      store.Append(blocks, given.data());
      ASSERT_TRUE(store.listed());
      EXPECT_EQ(store.size(), blocks);
      const std::vector<float> held = ReadAll(store);
      // Within half a step of a scale that reaches the largest element; the first vectors were
      // bf16 before.
      for (size_t i = 0; i < held.size(); ++i) ASSERT_NEAR(held[i], given[i], 0.15f) << i;
    }
  }
}

TEST(ListStore, PartsListsThatGrow) {
  ListStore store(DType::kBF16, 32, 1, kFrom);
  const std::vector<float> given = Grouped(8000, 32, 100, 2);
  store.Append(8000, given.data());
  EXPECT_GT(store.lists().size(), 8000u / 128);
  EXPECT_EQ(static_cast<size_t>(store.centres().count()), store.lists().size());
  double spread = 0;
  for (size_t j = 0; j < store.lists().size(); ++j) {
    EXPECT_LE(store.lists()[j].count(), 128);
    spread += store.spreads()[j] * static_cast<double>(store.lists()[j].count()) / 8000;
    EXPECT_FLOAT_EQ(store.logs()[j], std::log(static_cast<float>(store.lists()[j].count())));
  }
  // All around one centre it would be 4.1; around their own points 1.
  EXPECT_LT(spread, 2.0);
}

TEST(ListStore, EqualVectorsStayTogether) {
  ListStore store(DType::kBF16, 16, 1, kFrom);
  const std::vector<float> one = TestRandom(3).Normals(16);
  std::vector<float> given;
  for (int v = 0; v < 1000; ++v) given.insert(given.end(), one.begin(), one.end());
  store.Append(1000, given.data());
  ASSERT_EQ(store.lists().size(), 1u);
  EXPECT_TRUE(store.lists()[0].equal);
  EXPECT_EQ(store.lists()[0].count(), 1000);
}

TEST(ListStore, TruncatesAndGoesOn) {
  ListStore store(DType::kBF16, 16, 2, kFrom);
  const std::vector<float> given = Grouped(4000, 16, 20, 4);
  store.Append(2000, given.data());
  const std::vector<float> before = ReadAll(store);
  store.Truncate(3000);
  EXPECT_EQ(store.size(), 2000);
  for (const int64_t kept : {1500, 700, 20}) {
    store.Truncate(kept);
    EXPECT_EQ(store.size(), kept);
    std::vector<float> left = ReadAll(store);
    EXPECT_TRUE(std::equal(left.begin(), left.end(), before.begin()));
  }
  store.Append(1980, given.data() + 20 * 2 * 16);
  EXPECT_EQ(store.size(), 2000);
  ReadAll(store);
  const uint64_t bytes = store.memory_bytes();
  store.Truncate(0);
  EXPECT_FALSE(store.listed());
  EXPECT_LT(store.memory_bytes(), bytes / 100);
  store.Append(100, given.data());
  EXPECT_FALSE(store.listed());
  EXPECT_EQ(store.unlisted().size(), 100);
}

// A long list is not copied for every tile that it grows by.
TEST(ListStore, LongListsGrowByWhatTheyHave) {
  ListStore store(DType::kBF16, 16, 1, kFrom);
  const std::vector<float> one = TestRandom(8).Normals(16);
  int64_t copies = 0;
  size_t codes = 0, scales = 0, numbers = 0;
  for (int v = 0; v < 20'000; ++v) {
    store.Append(1, one.data());
    if (!store.listed()) continue;
    ASSERT_EQ(store.lists().size(), 1u);
    const VectorList& list = store.lists()[0];
    copies += (list.codes.capacity() != codes) + (list.scales.capacity() != scales) +
              (list.numbers.capacity() != numbers);
    codes = list.codes.capacity();
    scales = list.scales.capacity();
    numbers = list.numbers.capacity();
  }
  EXPECT_LT(copies, 3 * 16);
}

void ExpectSame(const ListStore& found, const ListStore& expected, const float* query) {
  ASSERT_EQ(found.size(), expected.size());
  ASSERT_EQ(found.listed(), expected.listed());
  ASSERT_EQ(found.lists().size(), expected.lists().size());
  if (!found.listed()) return;
  const auto dim = static_cast<size_t>(found.dim());
  std::vector<float> a(dim), b(dim);
  for (size_t j = 0; j < found.lists().size(); ++j) {
    const VectorList& one = found.lists()[j];
    const VectorList& other = expected.lists()[j];
    EXPECT_EQ(one.numbers, other.numbers);
    EXPECT_EQ(one.first, other.first);
    EXPECT_EQ(one.last, other.last);
    EXPECT_EQ(one.equal, other.equal);
    EXPECT_EQ(one.squares, other.squares);
    EXPECT_EQ(found.spreads()[j], expected.spreads()[j]);
    EXPECT_EQ(found.logs()[j], expected.logs()[j]);
    EXPECT_EQ(found.extremes()[j], expected.extremes()[j]);
    found.Read(found.centres(), static_cast<int64_t>(j), a.data());
    expected.Read(expected.centres(), static_cast<int64_t>(j), b.data());
    EXPECT_EQ(a, b);
  }
  EXPECT_EQ(ReadAll(found), ReadAll(expected));
  EXPECT_EQ(found.Width(query), expected.Width(query));
}

// Lists that were parted, made or only added to meanwhile are what they were, and go on so.
TEST(ListStore, ComesBackToWhatWasKept) {
  const std::vector<float> given = Grouped(6000, 16, 20, 6);
  const auto at = [&](int64_t block) { return given.data() + block * 2 * 16; };
  for (const int64_t kept : {1200, 128, 127, 50, 0}) {
    SCOPED_TRACE(kept);
    ListStore asked(DType::kBF16, 16, 2, kFrom);
    ListStore unasked(DType::kBF16, 16, 2, kFrom);
    for (ListStore* store : {&asked, &unasked}) store->Append(kept, given.data());
    asked.Keep();
    for (const int64_t more : {1, 40, 1500}) {
      const std::vector<float> question = Grouped(2 * more, 16, 7, static_cast<uint64_t>(more));
      asked.Append(more, question.data());
      if (more > 40) asked.Truncate(kept + 45);
      asked.Truncate(kept);
      ExpectSame(asked, unasked, given.data());
      if (HasFatalFailure()) return;
    }
    for (ListStore* store : {&asked, &unasked}) store->Append(800, at(kept));
    ExpectSame(asked, unasked, given.data());
    EXPECT_GE(asked.memory_bytes(), unasked.memory_bytes());
    asked.Keep();
    for (ListStore* store : {&asked, &unasked}) store->Append(800, at(kept + 800));
    ExpectSame(asked, unasked, given.data());
  }
}

// And if they waited when they were kept, they come back to what they would have been.
TEST(ListStore, ComesBackToWhatWaited) {
  const std::vector<float> given = Grouped(3000, 16, 20, 7);
  ListStore late(DType::kBF16, 16, 2, kFrom);
  ListStore eager(DType::kBF16, 16, 2, kFrom);
  late.Append(900, given.data(), true);
  eager.Append(900, given.data());
  late.Keep();
  late.Append(10, given.data() + 900 * 32);
  late.Truncate(900);
  EXPECT_TRUE(late.waits());
  late.Append(300, given.data() + 1000 * 32);
  late.Settle();
  late.Append(200, given.data() + 1300 * 32);
  late.Truncate(900);
  ExpectSame(late, eager, given.data());
}

// What waited comes to what it would have been.
TEST(ListStore, SettlesWhatWaited) {
  const std::vector<float> given = Grouped(3000, 16, 20, 5);
  ListStore eager(DType::kBF16, 16, 2, kFrom);
  ListStore late(DType::kBF16, 16, 2, kFrom);
  late.Append(20, given.data(), true);
  EXPECT_FALSE(late.waits());
  late.Append(1180, given.data() + 20 * 2 * 16, true);
  EXPECT_TRUE(late.waits());
  late.Append(300, given.data() + 1200 * 2 * 16);
  EXPECT_TRUE(late.waits());
  EXPECT_FALSE(late.listed());
  EXPECT_EQ(late.unlisted().size(), 1500);
  late.Settle();
  EXPECT_FALSE(late.waits());
  late.Settle();
  eager.Append(1500, given.data());
  for (ListStore* store : {&eager, &late}) store->Append(0, nullptr);
  EXPECT_EQ(late.size(), 1500);
  ASSERT_EQ(late.lists().size(), eager.lists().size());
  for (size_t j = 0; j < eager.lists().size(); ++j) {
    EXPECT_EQ(late.lists()[j].numbers, eager.lists()[j].numbers);
    EXPECT_EQ(late.spreads()[j], eager.spreads()[j]);
  }
  EXPECT_EQ(ReadAll(late), ReadAll(eager));
  EXPECT_EQ(late.Width(given.data()), eager.Width(given.data()));
  // A store that waits can be cut to where nothing is worth waiting for.
  ListStore cut(DType::kBF16, 16, 2, kFrom);
  cut.Append(1500, given.data(), true);
  cut.Truncate(100);
  EXPECT_FALSE(cut.waits());
  cut.Append(100, given.data());
  EXPECT_TRUE(cut.listed());
}

TEST(ListStore, Extremes) {
  ListStore store(DType::kBF16, 4, 1, kFrom);
  std::vector<float> given;
  for (int v = 0; v < 600; ++v) {
    given.insert(given.end(), {v % 3 == 0 ? 3e38f : -3e38f, 1e-38f * static_cast<float>(v % 7),
                               0.0f, static_cast<float>(v % 5)});
  }
  store.Append(600, given.data());
  const std::vector<float> held = ReadAll(store);
  for (size_t i = 0; i < held.size(); i += 4) {
    EXPECT_NEAR(held[i] / given[i], 1.0f, 0.05f);
    EXPECT_TRUE(std::isfinite(held[i + 3]));
  }
}

}  // namespace
}  // namespace cairn
