// The table of cases, run on every instruction set this machine has.
#include "tests/kernels/attention_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <tuple>
#include <vector>

#include "hwy/targets.h"
#include "kernels/attention_scratch.h"
#include "tests/kernels/attention_case.h"
#include "tests/support/tolerance.h"

namespace cairn {
namespace {

// What this machine can run out of what is built.
std::vector<int64_t> Targets() { return hwy::SupportedAndGeneratedTargets(); }

using Param = std::tuple<AttentionCase, int64_t>;

class AttentionTable : public testing::TestWithParam<Param> {
 protected:
  void SetUp() override {
    const int64_t target = std::get<1>(GetParam());
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
  void TearDown() override {
    hwy::SetSupportedTargetsForTest(0);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
  }
};

TEST_P(AttentionTable, AgreesWithReference) {
  const auto& [from, target] = GetParam();
  ASSERT_STREQ(AttendTarget(), hwy::TargetName(target));  // what was forced is what runs
  AttentionData data(from, 1);
  const AttentionResult expected = data.Reference();
  const AttentionResult result = data.Fast();
  const float tolerance = ToleranceOf(from.dtype).kernel;
  EXPECT_LE(LargestDifference(result.o, expected.o), tolerance);
  EXPECT_LE(LargestDifference(result.lse, expected.lse), tolerance);
}

TEST_P(AttentionTable, SameCallSameBits) {
  AttentionData data(std::get<0>(GetParam()), 2);
  const AttentionResult first = data.Fast();
  const AttentionResult second = data.Fast();
  EXPECT_EQ(first.o, second.o);
  EXPECT_EQ(first.lse, second.lse);
}

class AttentionBf16 : public AttentionTable {};

/// Where products may be of bf16 numbers they are, and as good as these can be.
TEST_P(AttentionBf16, AgreesWithReference) {
  AttentionCase from = std::get<0>(GetParam());
  AttentionData plain(from, 5);
  const AttentionResult expected = plain.Reference();
  const AttentionResult exact = plain.Fast();
  from.bf16 = true;
  AttentionData data(from, 5);
  const AttentionResult result = data.Fast();
  EXPECT_LE(LargestDifference(result.o, expected.o), 4e-2f);
  EXPECT_LE(LargestDifference(result.lse, expected.lse), 2e-2f);
  EXPECT_LE(MeanDifference(result.o, expected.o), 2e-3f);
  if (!AttendHasBf16()) {
    EXPECT_EQ(result.o, exact.o);
  } else if (MeanDifference(expected.o, {}) > 0) {
    EXPECT_NE(result.o, exact.o) << "these were not bf16";
  }
}

class AttentionRanges : public AttentionTable {};

// Ranges of rows give the bits of the whole call as long as both have many queries.
TEST_P(AttentionRanges, GiveTheBitsOfTheWhole) {
  const auto& [from, target] = GetParam();
  AttentionData data(from, 3);
  const int32_t split = from.rows / 3;
  const AttentionResult whole = data.Fast();
  AttentionResult parts = data.Fast(0, split);
  const AttentionResult rest = data.Fast(split);
  parts.o.insert(parts.o.end(), rest.o.begin(), rest.o.end());
  parts.lse.insert(parts.lse.end(), rest.lse.begin(), rest.lse.end());
  EXPECT_EQ(whole.o, parts.o);
  EXPECT_EQ(whole.lse, parts.lse);
}

std::vector<AttentionCase> ManyQueries() {
  std::vector<AttentionCase> cases;
  for (const AttentionCase& c : AttentionCases()) {
    if (c.rows / 3 * c.group > kFewQueries) cases.push_back(c);
  }
  return cases;
}

std::vector<AttentionCase> ForBf16() {
  std::vector<AttentionCase> cases;
  for (const AttentionCase& c : AttentionCases()) {
    const bool many = c.rows * c.group > kFewQueries;
    if (many && c.dtype != DType::kF32 && c.head_dim % 16 == 0) cases.push_back(c);
  }
  return cases;
}

std::string ParamName(const testing::TestParamInfo<Param>& info) {
  return std::get<0>(info.param).name + "_" + hwy::TargetName(std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(Cases, AttentionTable,
                         testing::Combine(testing::ValuesIn(AttentionCases()),
                                          testing::ValuesIn(Targets())),
                         ParamName);

INSTANTIATE_TEST_SUITE_P(Cases, AttentionRanges,
                         testing::Combine(testing::ValuesIn(ManyQueries()),
                                          testing::ValuesIn(Targets())),
                         ParamName);

INSTANTIATE_TEST_SUITE_P(Cases, AttentionBf16,
                         testing::Combine(testing::ValuesIn(ForBf16()),
                                          testing::ValuesIn(Targets())),
                         ParamName);

class ReferenceTable : public testing::TestWithParam<AttentionCase> {};

TEST_P(ReferenceTable, AgreesWithOracle) {
  AttentionData data(GetParam(), 4);
  const AttentionResult expected = data.Oracle();
  const AttentionResult result = data.Reference();
  const float tolerance = ToleranceOf(GetParam().dtype).storage;
  EXPECT_LE(LargestDifference(result.o, expected.o), tolerance);
  EXPECT_LE(LargestDifference(result.lse, expected.lse), tolerance);
}

INSTANTIATE_TEST_SUITE_P(Cases, ReferenceTable, testing::ValuesIn(SmallAttentionCases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace cairn
