#include "base/timeline.h"

#include <gtest/gtest.h>

#include <thread>

namespace cairn {
namespace {

TEST(TimelineTest, SlicesAreInOrderAndNested) {
  Timeline timeline;
  {
    const Slice outer(&timeline, "outer", 7);
    const Slice inner(&timeline, "inner");
  }
  std::thread([&] { const Slice other(&timeline, "other"); }).join();
  EXPECT_EQ(timeline.size(), 3u);
  const std::string json = timeline.ToJson();
  const size_t outer = json.find("\"outer\""), inner = json.find("\"inner\"");
  const size_t other = json.find("\"other\"");
  EXPECT_LT(outer, inner) << json;
  EXPECT_LT(inner, other) << json;
  EXPECT_NE(json.find("\"ts\":0.000"), std::string::npos) << "times count from the first slice";
  EXPECT_NE(json.find("\"args\":{\"number\":7}"), std::string::npos);
  EXPECT_NE(json.find("\"left_out\":0"), std::string::npos);
}

TEST(TimelineTest, NoTimelineNoSlice) {
  const Slice nothing(nullptr, "nothing");
  EXPECT_EQ(Timeline().size(), 0u);
}

TEST(TimelineTest, LatenciesAreCountedByNameWithAndWithoutSlices) {
  for (const bool slices : {false, true}) {
    Timeline timeline({.slices = slices, .latencies = true});
    const auto begin = Timeline::Clock::now();
    const char other_literal[] = "search";  // the same word elsewhere
    timeline.Add("search", 0, begin, begin + std::chrono::microseconds(5));
    timeline.Add(other_literal, 1, begin, begin + std::chrono::microseconds(7));
    timeline.Add("commit", -1, begin, begin + std::chrono::milliseconds(3));
    EXPECT_EQ(timeline.Latency("search").count(), 2u);
    EXPECT_EQ(timeline.Latency("search").sum(), 12'000u);
    EXPECT_EQ(timeline.Latency("commit").max(), 3'000'000u);
    EXPECT_EQ(timeline.Latency("fetch").count(), 0u);
    EXPECT_EQ(timeline.size(), slices ? 3u : 0u);
  }
  EXPECT_EQ(Timeline().Latency("search").count(), 0u);
}

TEST(TimelineTest, AnEmptyOneIsADocumentToo) {
  EXPECT_NE(Timeline().ToJson().find("\"traceEvents\":["), std::string::npos);
}

}  // namespace
}  // namespace cairn
