#include "tools/certificate_report.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace cairn {
namespace {

SessionShape Shape() {
  SessionShape shape;
  shape.layers = 2;
  shape.query_heads = shape.kv_heads = 1;
  shape.block = {.block_rows = 4, .head_dim = 2, .dtype = DType::kF32};
  shape.mode = AttentionMode::kLandmark;
  return shape;
}

/// Rows 5 to 9 in two layers: tokens 4, 5, 5 (row 7 is a landmark), 6 and 7.
MassLog Log(bool audited) {
  MassLog log{.from_row = 5, .audit = audited};
  for (int64_t row = 5; row < 10; ++row) {
    for (int32_t layer = 0; layer < 2; ++layer) {
      const auto share = static_cast<float>(row - 4) / 10 + (layer == 1 ? 0.4f : 0.0f);
      MissedMass missed{.row = row, .layer = layer, .chosen = 2, .bound = share};
      missed.estimate = share / 2;
      if (audited) missed.truth = row == 9 ? share + 0.01f : share - 0.02f;
      log.heads.push_back(missed);
    }
  }
  return log;
}

AnswerPlace Place(int64_t first_token, size_t tokens, bool from_landmarks = false) {
  return {first_token, first_token, std::vector<double>(tokens, 1.0), from_landmarks};
}

TEST(CertificateReportTest, CountsRowsThatTheAnswerFollowsFrom) {
  // Two tokens from token 6 on: predicted by tokens 5 and 6, rows 6 and 8, or 7 and 8.
  const auto report = MakeCertificate(Log(false), Shape(), {}, Place(6, 2));
  ASSERT_EQ(report.tokens.size(), 2u);
  EXPECT_EQ(report.tokens[0].cases, 2);
  EXPECT_EQ(report.tokens[1].cases, 2);
  EXPECT_EQ(report.answer.cases, 4);
  EXPECT_EQ(report.layers[0].cases, 2);
  EXPECT_NEAR(report.layers[0].bound_mean, 0.3, 1e-6);
  EXPECT_NEAR(report.layers[1].bound_mean, 0.7, 1e-6);
  EXPECT_NEAR(report.layers[1].estimate_mean, 0.35, 1e-6);
  EXPECT_NEAR(report.answer.bound_below_half, 0.5, 1e-9);
  EXPECT_EQ(report.answer.bound_below_tenth, 0);
  EXPECT_EQ(report.answer.chosen_median, 2);
  EXPECT_FALSE(report.answer.audit.has_value());
  const auto landmarks = MakeCertificate(Log(false), Shape(), {}, Place(6, 2, true));
  EXPECT_EQ(landmarks.tokens[0].cases, 2);
  EXPECT_EQ(landmarks.answer.cases, 4);
  EXPECT_NEAR(landmarks.layers[0].bound_mean, 0.35, 1e-6);
}

TEST(CertificateReportTest, HoldsTheBoundAgainstTheTruth) {
  SessionOptions options;
  options.mass_target = 0.5f;
  options.mass_by = MassBy::kBound;
  const auto report = MakeCertificate(Log(true), Shape(), options, Place(5, 4));
  EXPECT_EQ(report.answer.cases, 8);
  ASSERT_TRUE(report.answer.audit.has_value());
  EXPECT_EQ(report.answer.audit->broken, 2) << "both layers of row 9";
  EXPECT_NEAR(report.answer.target_reached, 0.625, 1e-9);
  EXPECT_NEAR(report.answer.audit->target_reached, 0.5, 1e-9) << "of row 9, not in truth";
  const auto json = CertificateJson(report, {"a", "b", "c", "d"});
  EXPECT_EQ(json["bounds_broken"], 2);
  EXPECT_EQ(json["target"], 0.5);
  EXPECT_EQ(json["tokens"][3]["text"], "d");
  EXPECT_EQ(json["layers"][1]["layer"], 1);
}

TEST(CertificateReportTest, OfNothingIsEmpty) {
  const auto report = MakeCertificate({}, Shape(), {}, Place(6, 0));
  EXPECT_EQ(report.answer.cases, 0);
  EXPECT_EQ(report.answer.bound_median, 0);
  EXPECT_TRUE(CertificateJson(report, {})["tokens"].empty());
}

TEST(CertificateReportTest, TokensAreHarmlessOnATerminal) {
  const auto report = MakeCertificate(Log(false), Shape(), {}, Place(6, 2));
  const std::string shown = DescribeCertificate(report, {"\x1b[2J", "fine"});
  EXPECT_EQ(shown.find('\x1b'), std::string::npos);
  EXPECT_NE(shown.find("fine"), std::string::npos);
}

}  // namespace
}  // namespace cairn
