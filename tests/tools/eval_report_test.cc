// EvalReport: intervals with known ends, sums over records, CSV and the heat map.
#include "tools/eval_report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tools/heat_map.h"

namespace cairn {
namespace {

EvalRecord RecordOf(int64_t length, std::initializer_list<bool> right) {
  EvalRecord record;
  record.length = length;
  record.tokens_read = length;
  record.seconds = 2;
  record.tiers = {{"host", 10, 8, 100}, {"cold", 2, 2, 50}};
  for (const bool r : right) {
    EvalAnswer answer;
    answer.kind = record.answers.empty() ? "city" : "code";
    answer.bin = static_cast<int>(record.answers.size());
    answer.right = r;
    answer.contains = true;
    answer.answer_tokens = 4;
    answer.seconds_per_token = 0.25;
    record.answers.push_back(answer);
  }
  return record;
}

TEST(WilsonInterval, KnownValues) {
  struct Case {
    int64_t found, asked;
    double low, high;
  };
  // 95 % intervals as statsmodels' proportion_confint(method="wilson") gives them.
  for (const Case& c :
       {Case{98, 100, 0.930011, 0.994498}, Case{5, 10, 0.236593, 0.763407},
        Case{0, 10, 0.0, 0.277533}, Case{20, 20, 0.838875, 1.0}, Case{1, 1, 0.206549, 1.0}}) {
    const Interval interval = WilsonInterval(c.found, c.asked);
    EXPECT_NEAR(interval.low, c.low, 3e-5) << c.found << "/" << c.asked;
    EXPECT_NEAR(interval.high, c.high, 3e-5) << c.found << "/" << c.asked;
  }
  EXPECT_EQ(WilsonInterval(0, 0).low, 0);
  EXPECT_EQ(WilsonInterval(0, 0).high, 1);
}

TEST(EvalReport, AddsUpByLengthDepthAndKind) {
  const EvalReport report({2048, 4096}, 2,
                          {RecordOf(2048, {true, false}), RecordOf(2048, {true, true}),
                           RecordOf(4096, {false, false})});
  ASSERT_EQ(report.lengths().size(), 2u);
  const LengthReport& first = report.lengths()[0];
  EXPECT_EQ(first.texts, 2);
  EXPECT_EQ(first.all.found, 3);
  EXPECT_EQ(first.all.asked, 4);
  EXPECT_EQ(first.all.contains, 4);
  EXPECT_EQ(first.depths[0].found, 2);
  EXPECT_EQ(first.depths[1].found, 1);
  EXPECT_EQ(first.kinds.at("city").found, 2);
  EXPECT_EQ(first.kinds.at("code").asked, 2);
  EXPECT_DOUBLE_EQ(first.tokens_per_second(), 1024);
  EXPECT_DOUBLE_EQ(first.ms_per_answer_token(), 250);
  ASSERT_EQ(first.tiers.size(), 2u);
  EXPECT_EQ(first.tiers[0].fetched_blocks, 20u);
  EXPECT_EQ(first.tiers[1].bytes_in, 100u);
  EXPECT_EQ(report.lengths()[1].all.found, 0);
  const std::string table = report.Table();
  for (const char* part : {"2k", "3/4", "0.750", "4k", "0/2", "city", "host"}) {
    EXPECT_NE(table.find(part), std::string::npos) << part;
  }
  EXPECT_EQ(report.ToJson()[0]["depths"][1]["accuracy"], 0.5);
}

TEST(EvalReport, CsvHasARowForEachLengthAndDepth) {
  const EvalReport report({2048, 4096}, 2, {RecordOf(2048, {true, false})});
  EXPECT_EQ(report.Csv(),
            "length,depth_from,depth_to,asked,found,contains,accuracy,low,high\n"
            "2048,0,0.5,1,1,1,1.0000,0.2065,1.0000\n"
            "2048,0.5,1,1,0,1,0.0000,0.0000,0.7935\n"
            "4096,0,0.5,0,0,0,,0.0000,1.0000\n"
            "4096,0.5,1,0,0,0,,0.0000,1.0000\n");
}

TEST(EvalRecord, SurvivesJson) {
  EvalRecord record = RecordOf(2048, {true, false});
  record.hash = "0123";
  record.answers[1].positions = {5, 700};
  const auto back = EvalRecord::FromJson(record.ToJson());
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back.value().ToJson(), record.ToJson());
  EXPECT_FALSE(EvalRecord::FromJson(nlohmann::json::object()).has_value());
}

TEST(HeatMap, HasACellForEachLengthAndDepth) {
  const EvalReport report({2048, 1048576}, 2, {RecordOf(2048, {true, false})});
  const std::string svg = HeatMapSvg(report, "facts < found");
  EXPECT_TRUE(svg.starts_with("<svg xmlns="));
  EXPECT_TRUE(svg.ends_with("</svg>\n"));
  size_t cells = 0;
  for (size_t at = svg.find("<rect x="); at != std::string::npos;
       at = svg.find("<rect x=", at + 1)) {
    ++cells;
  }
  EXPECT_EQ(cells, 4u);
  for (const char* part : {"facts &lt; found", ">1.00<", ">0.00<", ">–<", ">2k<", ">1M<",
                           ">0–50 %<", "tokens in the text", "depth of the fact"}) {
    EXPECT_NE(svg.find(part), std::string::npos) << part;
  }
}

}  // namespace
}  // namespace cairn
