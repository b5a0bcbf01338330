#include "tests/index/index_oracle.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "tests/support/random.h"

namespace cairn {
namespace {

float Round(DType type, float x) { return type == DType::kF32 ? x : Bf16ToFloat(FloatToBf16(x)); }

}  // namespace

std::string SettingName(const IndexSetting& setting) {
  return std::string(IndexKindName(setting.kind)) + "_" + std::string(DTypeName(setting.dtype)) +
         "_" + std::to_string(setting.representatives);
}

IndexUnderTest::IndexUnderTest(const IndexSetting& setting, int32_t partition_count,
                               int32_t dimension)
    : dtype(setting.dtype),
      partitions(partition_count),
      dim(dimension),
      representatives(setting.representatives),
      held_(static_cast<size_t>(partition_count)) {
  IndexOptions options;
  options.kind = setting.kind;
  options.partitions = partitions;
  options.dim = dim;
  options.representatives = representatives;
  options.dtype = dtype;
  index = MakeIndexUnderTest(options);
}

void IndexUnderTest::Add(int64_t count, const std::vector<float>& vectors) {
  ASSERT_TRUE(index->Add(0, partitions, count, vectors.data()).has_value());
  size_ += count;
  const size_t floats = static_cast<size_t>(count) * block_floats();
  for (size_t p = 0; p < held_.size(); ++p) {
    EXPECT_EQ(index->size(static_cast<int32_t>(p)), size_);
    for (size_t i = 0; i < floats; ++i) {
      held_[p].push_back(Round(dtype, vectors[p * floats + i]));
    }
  }
}

void IndexUnderTest::AddRandom(int64_t count, uint64_t seed) {
  TestRandom random(seed);
  const size_t floats = static_cast<size_t>(partitions * count) * block_floats();
  Add(count, random.Normals(floats));
}

void IndexUnderTest::Truncate(int64_t size) {
  index->Truncate(0, partitions, size);
  size_ = std::min(size, size_);
  for (size_t p = 0; p < held_.size(); ++p) {
    EXPECT_EQ(index->size(static_cast<int32_t>(p)), size_);
    held_[p].resize(static_cast<size_t>(size_) * block_floats());
  }
}

std::vector<double> IndexUnderTest::Scores(int32_t partition, const float* query, int64_t begin,
                                           int64_t end) const {
  std::vector<double> scores;
  for (int64_t b = begin; b < end; ++b) {
    double best = -std::numeric_limits<double>::infinity();
    for (int32_t i = 0; i < representatives; ++i) {
      const float* vector =
          held_[static_cast<size_t>(partition)].data() + (b * representatives + i) * dim;
      double sum = 0;
      for (int32_t c = 0; c < dim; ++c) {
        sum += static_cast<double>(Round(dtype, query[c])) * vector[c];
      }
      best = std::max(best, sum);
    }
    scores.push_back(best);
  }
  return scores;
}

void IndexUnderTest::CheckLse(const std::vector<double>& scores, double other, float lse,
                              bool exact) const {
  double top = other;
  for (const double s : scores) top = std::max(top, s);
  if (std::isinf(top)) {
    EXPECT_EQ(lse, top);
    return;
  }
  double sum = std::exp(other - top);
  for (const double s : scores) sum += std::exp(s - top);
  const double expected = top + std::log(sum);
  // What is left out is counted by vectors, each with a weight of its own.
  EXPECT_LE(lse, expected + tolerance() + (leaves_out() ? std::log(representatives) : 0));
  if (leaves_out()) {
    EXPECT_GE(lse, expected - 1);
    return;
  }
  // An estimate holds the best candidate at least.
  EXPECT_GE(lse, exact || approximate() ? expected - tolerance() : top - tolerance());
}

// The choice in `slot` must be the k heaviest by `weights`, up to rounding, in order.
void IndexUnderTest::CheckChoice(const std::vector<double>& weights, const SearchResult& result,
                                 int64_t slot, int64_t begin, int64_t* heaviest) const {
  std::vector<double> sorted = weights;
  std::sort(sorted.rbegin(), sorted.rend());
  std::set<int64_t> seen;
  for (int32_t i = 0; i < result.k; ++i) {
    const auto at = static_cast<size_t>(slot * result.k + i);
    const int64_t ordinal = result.ordinals[at];
    ASSERT_GE(ordinal, begin);
    ASSERT_LT(ordinal, begin + static_cast<int64_t>(weights.size()));
    EXPECT_TRUE(seen.insert(ordinal).second) << "block " << ordinal << " was chosen twice";
    const double weight = weights[static_cast<size_t>(ordinal - begin)];
    EXPECT_NEAR(result.log_weights[at], weight, 2 * tolerance());
    EXPECT_LE(weight, sorted[static_cast<size_t>(i)] + 2 * tolerance());
    if (!leaves_out()) {
      EXPECT_GE(weight, sorted[static_cast<size_t>(i)] - 2 * tolerance());
    }
    if (weight >= sorted[static_cast<size_t>(result.k) - 1] - 2 * tolerance()) ++*heaviest;
    if (i > 0) {
      const float before = result.log_weights[at - 1];
      EXPECT_TRUE(before > result.log_weights[at] ||
                  (before == result.log_weights[at] && result.ordinals[at - 1] < ordinal));
    }
  }
}

SearchResult IndexUnderTest::SearchAndCheck(SearchRequest request,
                                            const std::vector<float>& queries,
                                            const std::vector<float>& other_lse) {
  request.partition_count = partitions;
  request.queries = queries.data();
  request.other_lse = other_lse.empty() ? nullptr : other_lse.data();
  SearchResult result;
  EXPECT_TRUE(index->Search(request, &result).has_value());
  const int64_t n = request.end - request.begin;
  EXPECT_EQ(result.k, std::min<int64_t>(request.k, n));
  EXPECT_EQ(result.groups, (request.rows + request.rows_per_group - 1) / request.rows_per_group);
  const size_t choices = static_cast<size_t>(partitions) * static_cast<size_t>(result.groups) *
                         static_cast<size_t>(result.k);
  EXPECT_EQ(result.ordinals.size(), choices);
  EXPECT_EQ(result.log_weights.size(), choices);
  EXPECT_EQ(result.lse.size(), static_cast<size_t>(partitions * request.rows));
  EXPECT_TRUE(result.lse_exact || index->name() != "exact");
  int64_t heaviest = 0;
  for (int32_t p = 0; p < partitions; ++p) {
    std::vector<double> weights;
    for (int32_t row = 0; row < request.rows; ++row) {
      const int64_t r = int64_t{p} * request.rows + row;
      const std::vector<double> scores =
          Scores(p, queries.data() + r * dim, request.begin, request.end);
      const float lse = result.lse[static_cast<size_t>(r)];
      const double other = other_lse.empty() ? -std::numeric_limits<double>::infinity()
                                             : other_lse[static_cast<size_t>(r)];
      CheckLse(scores, other, lse, result.lse_exact);
      if (row % request.rows_per_group == 0) {
        weights.assign(scores.size(), -std::numeric_limits<double>::infinity());
      }
      for (size_t b = 0; b < scores.size(); ++b) {
        weights[b] = std::max(weights[b], scores[b] - lse);
      }
      if ((row + 1) % request.rows_per_group == 0 || row + 1 == request.rows) {
        const int64_t slot = int64_t{p} * result.groups + row / request.rows_per_group;
        CheckChoice(weights, result, slot, request.begin, &heaviest);
      }
    }
  }
  EXPECT_GE(static_cast<double>(heaviest), 0.9 * static_cast<double>(choices) - 2);
  return result;
}

}  // namespace cairn
