#include "base/error.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>

#include "base/check.h"

namespace cairn {
namespace {

Result<int> Half(int number) {
  if (number % 2 != 0) return Fail(Errc::kInvalidArgument, "{} is odd", number);
  return number / 2;
}

Status RequireEven(int number, int* calls) {
  ++*calls;
  if (number % 2 != 0) return Fail(Errc::kMismatch, "{} is odd", number);
  return Ok();
}

Result<int> Quarter(int number) {
  CAIRN_TRY(const int half, Half(number));
  CAIRN_TRY(auto quarter, Half(half));
  return quarter;
}

Status RequireAll(std::initializer_list<int> numbers, int* calls) {
  for (const int number : numbers) CAIRN_TRY(RequireEven(number, calls));
  return Ok();
}

Result<std::unique_ptr<int>> Box(bool good) {
  if (!good) return Fail(Errc::kIo, "no box");
  return std::make_unique<int>(7);
}

Result<int> Unbox(bool good) {
  std::unique_ptr<int> box;
  CAIRN_TRY(box, Box(good));
  return *box;
}

TEST(ErrorTest, TryGoesOnWithTheValue) {
  ASSERT_TRUE(Quarter(12).has_value());
  EXPECT_EQ(Quarter(12).value(), 3);
}

TEST(ErrorTest, TryReturnsTheFirstError) {
  const auto first = Quarter(7), second = Quarter(6);
  ASSERT_FALSE(first.has_value());
  EXPECT_EQ(first.error().message, "7 is odd");
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().message, "3 is odd");
  EXPECT_EQ(second.error().code, Errc::kInvalidArgument);
}

TEST(ErrorTest, TryOfAStatusEvaluatesOnceAndStops) {
  int calls = 0;
  EXPECT_TRUE(RequireAll({2, 4, 6}, &calls).has_value());
  EXPECT_EQ(calls, 3);
  const Status failed = RequireAll({2, 5, 6}, &calls);
  EXPECT_EQ(calls, 5);
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, Errc::kMismatch);
  EXPECT_EQ(failed.error().message, "5 is odd");
}

TEST(ErrorTest, TryMovesValues) {
  EXPECT_EQ(Unbox(true).value(), 7);
  const auto failed = Unbox(false);
  ASSERT_FALSE(failed.has_value());
  EXPECT_EQ(failed.error().code, Errc::kIo);
}

TEST(ErrorTest, EveryCodeHasANameOfItsOwn) {
  std::set<std::string_view> names;
  for (const Errc code : {Errc::kInvalidArgument, Errc::kNotFound, Errc::kExists, Errc::kCorruption,
                          Errc::kIo, Errc::kOutOfSpace, Errc::kResource, Errc::kBusy,
                          Errc::kMismatch, Errc::kUnsupported, Errc::kInterrupted}) {
    EXPECT_FALSE(ErrcName(code).empty());
    names.insert(ErrcName(code));
  }
  EXPECT_EQ(names.size(), 11u);
  EXPECT_EQ(ErrcName(Errc::kCorruption), "corruption");
}

TEST(CheckDeathTest, SaysWhatAndWhere) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const int three = 3;
  CAIRN_CHECK(three == 3);
  EXPECT_DEATH(CAIRN_CHECK(three == 4), "error_test.cc.*three == 4");
}

}  // namespace
}  // namespace cairn
