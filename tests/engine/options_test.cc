#include "engine/options.h"

#include <gtest/gtest.h>

#include <limits>

#include "engine/stored_shape.h"
#include "tests/engine/session_problem.h"

namespace cairn {
namespace {

SessionShape GoodShape(AttentionMode mode = AttentionMode::kUnmodified) {
  return test::MakeShape(mode, 2, 6, 2, {64, 16, DType::kF16});
}

TEST(OptionsTest, SelectionNames) {
  for (const Selection s :
       {Selection::kPerToken, Selection::kPerChunk, Selection::kPerTokenSharedHeads}) {
    ASSERT_GOOD(ParseSelection(SelectionName(s)));
    EXPECT_EQ(ParseSelection(SelectionName(s)).value(), s);
  }
  ASSERT_GOOD(ParseSelection("per_token_shared_heads"));
  EXPECT_EQ(ParseSelection("per_token_shared_heads").value(), Selection::kPerTokenSharedHeads);
  EXPECT_ERROR(ParseSelection("per-head"), Errc::kInvalidArgument, "'per-head'");
  EXPECT_ERROR(ParseSelection(""), Errc::kInvalidArgument, "per-chunk");
  EXPECT_EQ(AttentionModeName(AttentionMode::kLandmark), "landmark");
  EXPECT_EQ(AttentionModeName(AttentionMode::kUnmodified), "unmodified");
}

TEST(OptionsTest, ShapesAreRefusedByName) {
  ASSERT_GOOD(GoodShape().Validate());
  const auto refused = [](void (*change)(SessionShape&), const char* fragment) {
    SessionShape shape = GoodShape(AttentionMode::kLandmark);
    change(shape);
    EXPECT_ERROR(shape.Validate(), Errc::kInvalidArgument, fragment);
  };
  refused([](SessionShape& s) { s.layers = 0; }, "0 layers");
  refused([](SessionShape& s) { s.layers = 65536; }, "65536 layers");
  refused([](SessionShape& s) { s.kv_heads = 0; }, "0 KV heads");
  refused([](SessionShape& s) { s.query_heads = 5; }, "5 query heads");
  refused([](SessionShape& s) { s.query_heads = 1; }, "1 query heads");
  refused([](SessionShape& s) { s.block.head_dim = 18; }, "needs 9 rotary frequencies, not 8");
  refused([](SessionShape& s) { s.block.head_dim = 15; }, "head dimension 15");
  refused([](SessionShape& s) { s.block.head_dim = 1026; },
          "head dimension 1026: use an even one up to 1024");
  refused([](SessionShape& s) { s.block.block_rows = 1; }, "1 rows");
  refused([](SessionShape& s) { s.block.block_rows = 4097; }, "4097 rows");
  refused([](SessionShape& s) { s.representatives = 2; }, "2 representatives");
  SessionShape shape = GoodShape();
  shape.representatives = 64;
  ASSERT_GOOD(shape.Validate());
  shape.representatives = 65;
  EXPECT_ERROR(shape.Validate(), Errc::kInvalidArgument, "65 representatives");
}

TEST(OptionsTest, NegativeNumbersAreRefused) {
  const auto refused = [](int32_t SessionOptions::*member, int32_t value) {
    SessionOptions options;
    ASSERT_GOOD(options.Validate(GoodShape()));
    options.*member = value;
    EXPECT_ERROR(options.Validate(GoodShape()), Errc::kInvalidArgument, std::to_string(value));
  };
  refused(&SessionOptions::retrieve, -1);
  refused(&SessionOptions::sinks, -1);
  refused(&SessionOptions::recent_tokens, -1);
  refused(&SessionOptions::max_step_rows, 0);
  refused(&SessionOptions::query_stride, 0);
}

TEST(OptionsTest, NoNumberIsTooLargeToBeRefused) {
  constexpr int32_t kMost = std::numeric_limits<int32_t>::max();
  for (const AttentionMode mode : {AttentionMode::kLandmark, AttentionMode::kUnmodified}) {
    for (const auto member : {&SessionOptions::retrieve, &SessionOptions::sinks,
                              &SessionOptions::recent_tokens, &SessionOptions::max_step_rows}) {
      const bool unused =
          mode == AttentionMode::kLandmark &&
          (member == &SessionOptions::sinks || member == &SessionOptions::recent_tokens);
      if (unused) continue;
      SessionOptions options;
      options.*member = kMost;
      EXPECT_ERROR(options.Validate(GoodShape(mode)), Errc::kInvalidArgument, "2147483647");
      options.retrieve = kMost;
      EXPECT_ERROR(options.Validate(GoodShape(mode)), Errc::kInvalidArgument, "2147483647");
    }
  }
}

// Spec, section 3: tail + chunk + (k + 1) B within the length the model was trained on.
TEST(OptionsTest, LandmarkBudget) {
  SessionShape shape = GoodShape(AttentionMode::kLandmark);
  SessionOptions options;
  options.retrieve = 4;
  options.max_step_rows = 100;
  shape.context_rows = (4 + 1) * 64 + 100 + 63;
  ASSERT_GOOD(options.Validate(shape));
  --shape.context_rows;
  EXPECT_ERROR(options.Validate(shape), Errc::kInvalidArgument,
               "retrieve 4 with chunk 100 needs (4 + 1) * 64 + 100 + 63 = 483 rows, the adapter "
               "was trained on 482; lower --retrieve or --chunk");
}

TEST(OptionsTest, UnmodifiedBudget) {
  SessionShape shape = GoodShape();
  SessionOptions options;
  options.retrieve = 4;
  options.sinks = 2;
  options.recent_tokens = 200;
  options.max_step_rows = 100;
  shape.context_rows = (2 + 4 + 1) * 64 + 200 + 100;
  ASSERT_GOOD(options.Validate(shape));
  --shape.context_rows;
  EXPECT_ERROR(options.Validate(shape), Errc::kInvalidArgument,
               "(sinks 2 + retrieve 4 + 1) * 64 + recent 200 + chunk 100 = 748 rows exceed the "
               "model's context of 747; lower one of --sinks, --retrieve, --recent, --chunk");
}

TEST(StoredShapeTest, RoundTripAndDamage) {
  const StoredShape stored{DescribeShape(GoodShape()), "c0ffee", "{\"a\": \"\\\"\"}"};
  const auto parsed = ParseStoredShape(ToJson(stored));
  ASSERT_GOOD(parsed);
  EXPECT_EQ(parsed.value().shape, stored.shape);
  EXPECT_EQ(parsed.value().chain, stored.chain);
  EXPECT_EQ(parsed.value().properties, stored.properties);
  for (const char* text : {"", "{}", "[]", "7", "{\"shape\": \"\", \"chain\": \"\"}",
                           "{\"shape\": 1, \"chain\": \"\", \"properties\": \"\"}"}) {
    EXPECT_ERROR(ParseStoredShape(text), Errc::kCorruption, "properties");
  }
}

TEST(StoredShapeTest, DescribesWhatBytesDependOn) {
  const auto differs = [](void (*change)(SessionShape&)) {
    SessionShape shape = GoodShape();
    change(shape);
    return DescribeShape(shape) != DescribeShape(GoodShape());
  };
  EXPECT_TRUE(differs([](SessionShape& s) { s.layers = 3; }));
  EXPECT_TRUE(differs([](SessionShape& s) { s.query_heads = 4; }));
  EXPECT_TRUE(differs([](SessionShape& s) { s.kv_heads = 3; }));
  EXPECT_TRUE(differs([](SessionShape& s) { s.block.block_rows = 32; }));
  EXPECT_TRUE(differs([](SessionShape& s) { s.block.head_dim = 32; }));
  EXPECT_TRUE(differs([](SessionShape& s) { s.block.dtype = DType::kBF16; }));
  EXPECT_TRUE(differs([](SessionShape& s) { s.mode = AttentionMode::kLandmark; }));
  EXPECT_TRUE(differs([](SessionShape& s) { s.representatives = 4; }));
  EXPECT_FALSE(differs([](SessionShape& s) { s.context_rows = 1 << 20; }));
}

}  // namespace
}  // namespace cairn
