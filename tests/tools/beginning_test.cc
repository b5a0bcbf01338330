// Beginning: where full steps end, and how far a session's beginning reaches.
#include "tools/beginning.h"

#include <gtest/gtest.h>

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tools/session_profile.h"

namespace cairn {
namespace {

SessionProfile ProfileOf(AttentionMode mode, int block_tokens, int chunk) {
  SessionProfile profile;
  profile.mode = mode;
  profile.block_tokens = block_tokens;
  profile.chunk = chunk;
  return profile;
}

/// Ends of full steps by the plain rule: rows one after the other, a landmark behind each m-th
/// token, and a token not parted from the landmark that follows it.
std::vector<int64_t> StepEnds(const SessionProfile& profile, int64_t tokens) {
  const bool landmarks = profile.mode == AttentionMode::kLandmark;
  std::vector<int64_t> ends = {0};
  int64_t rows = 0;
  for (int64_t token = 0; token < tokens; ++token) {
    const int64_t more = landmarks && (token + 1) % profile.block_tokens == 0 ? 2 : 1;
    if (rows + more > profile.chunk) {
      ends.push_back(token);
      rows = 0;
    }
    rows += more;
  }
  return ends;
}

TEST(BeginningTest, StepEndsAreThoseOfThePlainRule) {
  for (const AttentionMode mode : {AttentionMode::kLandmark, AttentionMode::kUnmodified}) {
    for (const auto& [block_tokens, chunk] :
         {std::pair(15, 64), {15, 60}, {63, 256}, {7, 2}, {7, 9}, {16, 100}, {4, 33}, {5, 6}}) {
      const SessionProfile profile = ProfileOf(mode, block_tokens, chunk);
      constexpr int64_t kTokens = 3000;
      int64_t last = 0, last_block = 0;
      const std::vector<int64_t> ends = StepEnds(profile, kTokens + chunk);
      for (int64_t token = 0, i = 0; token < kTokens; ++token) {
        if (token == ends[i]) {
          last = ends[i++];
          if (last % block_tokens == 0) last_block = last;
        }
        ASSERT_EQ(LastStepEnd(profile, token, false), last) << block_tokens << " " << chunk;
        ASSERT_EQ(LastStepEnd(profile, token, true), last_block) << block_tokens << " " << chunk;
      }
    }
  }
}

TEST(BeginningTest, ItGrowsByFullStepsReadInOneWayOnly) {
  SessionProfile profile = ProfileOf(AttentionMode::kUnmodified, 16, 64);
  const auto tokens = [&](int64_t first, int64_t end, const char* reading) {
    ExtendBeginning(profile, first, end, reading);
    return profile.beginning.tokens;
  };
  EXPECT_EQ(tokens(0, 40, "a"), 0) << "a short text";
  EXPECT_EQ(tokens(40, 104, "a"), 0) << "what comes behind it";
  EXPECT_EQ(tokens(0, 64, "a"), 64);
  EXPECT_EQ(profile.beginning.reading, "a");
  EXPECT_EQ(tokens(64, 128, "a"), 128);
  EXPECT_EQ(tokens(128, 192, "b"), 128) << "read otherwise";
  EXPECT_EQ(tokens(192, 256, "a"), 128) << "behind what was read otherwise";
  EXPECT_EQ(tokens(128, 150, "a"), 128) << "the end of the text";
}

// Whatever steps depend on tells one reading from another.
TEST(BeginningTest, AReadingIsAllThatStepsDependOn) {
  const SessionProfile profile = ProfileOf(AttentionMode::kUnmodified, 16, 64);
  const SessionOptions plain;
  std::vector<SessionOptions> others(8, plain);
  others[0].retrieve = 9;
  others[1].query_stride = 2;
  others[2].index = IndexKind::kInt8;
  others[3].sinks = 2;
  others[4].recent_tokens = 100;
  others[5].mass_target = 0.9f;
  others[6].mass_target = 0.8f;
  others[7].mass_target = 0.8f;
  others[7].mass_by = MassBy::kBound;
  std::set<std::string> texts = {ReadingText(profile, plain, std::nullopt),
                                 ReadingText(profile, plain, 0), ReadingText(profile, plain, 1)};
  for (const SessionOptions& options : others) {
    texts.insert(ReadingText(profile, options, std::nullopt));
  }
  EXPECT_EQ(texts.size(), others.size() + 3);
  EXPECT_TRUE(texts.contains(ReadingText(profile, plain, std::nullopt)));
}

TEST(BeginningTest, ACutInsideAStepEndsIt) {
  SessionProfile profile = ProfileOf(AttentionMode::kUnmodified, 16, 64);
  profile.raw = true;
  profile.beginning = {256, "a"};
  profile.EndAt(144);
  EXPECT_EQ(profile.beginning.tokens, 128);
  ExtendBeginning(profile, 144, 208, "a");
  EXPECT_EQ(profile.beginning.tokens, 128) << "the steps behind the cut are others";
  profile.EndAt(128);
  ExtendBeginning(profile, 128, 192, "a");
  EXPECT_EQ(profile.beginning.tokens, 192);
}

TEST(BeginningTest, ItIsKeptWithTheSessionAndUnknownOfOlderOnes) {
  SessionProfile profile = ProfileOf(AttentionMode::kUnmodified, 16, 64);
  profile.beginning = {128, "how"};
  const auto again = SessionProfile::FromJson(profile.ToJson());
  ASSERT_TRUE(again.has_value());
  EXPECT_EQ(again.value().beginning.tokens, 128);
  EXPECT_EQ(again.value().beginning.reading, "how");
  EXPECT_EQ(again.value().DigestText(), profile.DigestText());
}

}  // namespace
}  // namespace cairn
