#include "bench/search_bench.h"

#include <gtest/gtest.h>

#include "bench/search_data.h"
#include "tests/bench/recording_maker.h"

namespace cairn {
namespace {

TEST(SearchBench, FindsWhatIsThere) {
  const Recording recording = MakeRecording(400, 3, false);
  SearchBenchOptions options;
  options.counts = {300, 900};
  options.dims = {16, 32};
  options.kinds = {IndexKind::kExact, IndexKind::kInt8};
  options.k = 8;
  options.turns = 1;
  options.many_rows = 2;
  for (const Recording* from : {&recording, static_cast<const Recording*>(nullptr)}) {
    options.recording = from;
    const auto rows = RunSearchBench(options, [](const std::string&) { return false; }).value();
    ASSERT_EQ(rows.size(), 8u);
    for (const SearchRow& row : rows) {
      EXPECT_EQ(row.rows, 3);
      EXPECT_EQ(row.recorded, from == nullptr ? 0 : std::min<int64_t>(row.count, 400));
      EXPECT_GT(row.recall, 0.9) << row.index << row.count;
      EXPECT_LT(row.lse_error, 0.1) << row.index << row.count;
      EXPECT_GT(row.milliseconds, 0);
      EXPECT_GT(row.faiss_ms, 0);
      EXPECT_GT(row.many_ms, 0);
    }
  }
}

TEST(SearchBench, StopsWhenToldTo) {
  SearchBenchOptions options;
  options.counts = {100};
  options.dims = {16};
  options.kinds = {IndexKind::kExact};
  const auto rows = RunSearchBench(options, [](const std::string&) { return true; });
  ASSERT_TRUE(rows.has_error());
  EXPECT_EQ(rows.error().code, Errc::kInterrupted);
}

TEST(SearchBench, RefusesToChooseMoreThanThereIs) {
  SearchBenchOptions options;
  options.counts = {200, 100};
  options.dims = {16};
  options.kinds = {IndexKind::kExact};
  options.faiss = false;
  options.turns = 1;
  const auto never = [](const std::string&) { return false; };
  options.k = 100;
  EXPECT_TRUE(RunSearchBench(options, never).has_value());
  options.k = 101;
  const auto rows = RunSearchBench(options, never);
  ASSERT_TRUE(rows.has_error());
  EXPECT_EQ(rows.error().code, Errc::kInvalidArgument);
  EXPECT_NE(rows.error().message.find("101 of 100 vectors"), std::string::npos);
}

TEST(SearchData, RefusesARecordingWithoutQueries) {
  Recording recording = MakeRecording(40, 1, false);
  recording.probes.clear();
  const auto data = RecordedSearchData(recording, 0, 0, 40, 16, 1);
  ASSERT_TRUE(data.has_error());
  EXPECT_NE(data.error().message.find("has no queries"), std::string::npos);
}

TEST(SearchData, RefusesADimensionThatWasNotRecorded) {
  const auto data = RecordedSearchData(MakeRecording(40, 1, false), 0, 0, 40, 24, 1);
  ASSERT_TRUE(data.has_error());
  EXPECT_EQ(data.error().code, Errc::kInvalidArgument);
}

}  // namespace
}  // namespace cairn
