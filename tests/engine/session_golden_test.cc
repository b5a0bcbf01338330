// The golden vectors, computed by the method's authors' code and an independent float64 oracle,
// through the public API of the engine.
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <vector>

#include "engine/engine.h"
#include "tests/engine/session_problem.h"

namespace cairn {
namespace {

constexpr int32_t kDim = 4, kBlockRows = 4;

class SessionGoldenTest : public testing::TestWithParam<size_t> {
 protected:
  SessionGoldenTest() {
    std::ifstream file(CAIRN_TEST_DATA "/golden.json");
    golden_ = nlohmann::json::parse(file);
    rows_ = golden_["T"].get<int32_t>();
    for (int32_t i = 0; i < rows_; ++i) {
      for (int32_t c = 0; c < kDim; ++c) {
        q_.push_back(static_cast<float>(1.5 * std::sin(0.7 * i + 1.3 * c + 0.1)));
        k_.push_back(static_cast<float>(1.5 * std::cos(1.1 * i - 0.9 * c + 0.3)));
        v_.push_back(static_cast<float>(std::sin(0.37 * i * (c + 1) + 0.5)));
      }
    }
  }

  /// Runs everything in steps of `chunk` rows; the chosen blocks are those of each row.
  void Run(const SessionOptions& options, int32_t chunk, std::vector<float>* o,
           std::vector<std::vector<int64_t>>* chosen) {
    const SessionShape shape =
        test::MakeShape(AttentionMode::kLandmark, 1, 1, 1, {kBlockRows, kDim, DType::kF32});
    auto engine = test::MemoryEngine();
    auto opened = engine->CreateSession("golden", shape, options, "{}");
    ASSERT_GOOD(opened);
    Session& session = *opened.value();
    o->resize(q_.size());
    for (int32_t first = 0; first < rows_; first += chunk) {
      const int32_t rows = std::min(chunk, rows_ - first);
      ASSERT_GOOD(session.BeginStep(rows));
      ASSERT_GOOD(session.Attend(0, q_.data() + first * kDim, k_.data() + first * kDim,
                                 v_.data() + first * kDim, o->data() + first * kDim));
      const Choice& choice = session.last_choice();
      for (int32_t row = 0; row < rows; ++row) {
        const auto blocks = choice.Of(0, choice.groups == 1 ? 0 : row);
        chosen->emplace_back(blocks.begin(), blocks.end());
      }
      ASSERT_GOOD(session.EndStep());
    }
  }

  void Expect(const std::vector<float>& o, const nlohmann::json& expected) {
    ASSERT_EQ(expected.size(), static_cast<size_t>(rows_));
    for (size_t i = 0; i < o.size(); ++i) {
      EXPECT_NEAR(o[i], expected[i / kDim][i % kDim].get<double>(), 1e-5)
          << "row " << i / kDim << " channel " << i % kDim;
    }
  }

  nlohmann::json golden_;
  int32_t rows_ = 0;
  std::vector<float> q_, k_, v_;
};

TEST_P(SessionGoldenTest, Case) {
  ASSERT_LT(GetParam(), golden_["cases"].size());
  const nlohmann::json& test = golden_["cases"][GetParam()];
  SessionOptions options;
  options.retrieve = test["topk"];
  options.max_step_rows = test["chunk"];
  const auto selection = ParseSelection(test["select"].get<std::string>());
  ASSERT_GOOD(selection);
  options.selection = selection.value();
  std::vector<float> o;
  std::vector<std::vector<int64_t>> chosen;
  Run(options, test["chunk"], &o, &chosen);
  Expect(o, test["out"]);
  EXPECT_EQ(chosen, test["selected"].get<std::vector<std::vector<int64_t>>>());
}

INSTANTIATE_TEST_SUITE_P(All, SessionGoldenTest, testing::Range<size_t>(0, 7));

TEST_F(SessionGoldenTest, ThereAreSevenCases) { EXPECT_EQ(golden_["cases"].size(), 7u); }

TEST_F(SessionGoldenTest, DenseIsEveryBlockChosen) {
  SessionOptions options;
  options.retrieve = 5;
  options.max_step_rows = rows_;
  for (const int32_t chunk : {1, 3, 5, rows_}) {
    std::vector<float> o;
    std::vector<std::vector<int64_t>> chosen;
    Run(options, chunk, &o, &chosen);
    Expect(o, golden_["dense"]);
  }
}

}  // namespace
}  // namespace cairn
