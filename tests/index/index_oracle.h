// What a LandmarkIndex must find, computed in double from the numbers it was given.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "index/landmark_index.h"

namespace cairn {

/// A kind of index and how it keeps its vectors: what the contract suite runs over.
struct IndexSetting {
  IndexKind kind;
  DType dtype;
  int32_t representatives;
};
std::string SettingName(const IndexSetting& setting);
/// Indexes that choose by the scores of their vectors as rounded: both types, several numbers of
/// representatives.
std::vector<IndexSetting> ExactSettings();
/// These and the ones whose scores are estimates.
std::vector<IndexSetting> AllSettings();
/// What the settings are for; like them defined by the program that runs the suite.
std::unique_ptr<LandmarkIndex> MakeIndexUnderTest(const IndexOptions& options);

/// An index beside plain copies of what it holds.
class IndexUnderTest {
 public:
  IndexUnderTest(const IndexSetting& setting, int32_t partitions, int32_t dim);

  /// Adds blocks to all partitions; vectors is [partitions, count, R, D].
  void Add(int64_t count, const std::vector<float>& vectors);
  void AddRandom(int64_t count, uint64_t seed);
  void Truncate(int64_t size);
  int64_t size() const { return size_; }
  /// Scores differ from those of the vectors by up to tolerance().
  bool approximate() const {
    return index->name() != "exact" && index->name() != "device" &&
           !index->name().starts_with("faiss");
  }
  /// Blocks that are not likely to be chosen are not looked at, and then one may be missed; more
  /// often among vectors drawn at random, which lists cannot keep apart, than among keys.
  bool leaves_out() const { return index->name() == "lists" || index->name() == "auto"; }
  /// Of a score. Exact: f32 sums of up to 128 products of order 1. Codes of 8 bits: half a step of
  /// up to 8/255 in each of so many products.
  double tolerance() const { return approximate() ? 0.25 : 1e-4; }
  size_t block_floats() const { return static_cast<size_t>(representatives * dim); }

  /// Searches all partitions and checks everything the contract says about the result.
  SearchResult SearchAndCheck(SearchRequest request, const std::vector<float>& queries,
                              const std::vector<float>& other_lse = {});

  std::unique_ptr<LandmarkIndex> index;
  const DType dtype;
  const int32_t partitions;
  const int32_t dim;
  const int32_t representatives;

 private:
  // Scores of one row for blocks [begin, end).
  std::vector<double> Scores(int32_t partition, const float* query, int64_t begin,
                             int64_t end) const;
  void CheckLse(const std::vector<double>& scores, double other, float lse, bool exact) const;
  // Adds to `heaviest` how many of the choice are among the heaviest.
  void CheckChoice(const std::vector<double>& weights, const SearchResult& result, int64_t slot,
                   int64_t begin, int64_t* heaviest) const;

  int64_t size_ = 0;
  std::vector<std::vector<float>> held_;  // per partition, rounded to dtype
};

}  // namespace cairn
