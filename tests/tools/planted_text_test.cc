// TextPlanter: texts of exact lengths, with facts on lines of their own at the depths asked for.
#include "tools/planted_text.h"

#include <gtest/gtest.h>

#include <memory>
#include <set>

#include "model/gguf.h"
#include "tests/support/scratch_directory.h"
#include "tests/support/tiny_model.h"

namespace cairn {
namespace {

class PlantedTextTest : public testing::Test {
 protected:
  void SetUp() override {
    const test::ScratchDirectory scratch;
    ASSERT_TRUE(test::WriteTinyModel(scratch.File("tiny.gguf"), {}));
    auto file = GgufFile::Open(scratch.File("tiny.gguf"));
    ASSERT_TRUE(file.has_value());
    auto tokenizer = Tokenizer::FromGguf(file.value());
    ASSERT_TRUE(tokenizer.has_value());
    tokenizer_ = std::make_unique<Tokenizer>(std::move(tokenizer).value());
    std::string text;
    for (int line = 0; line < 300; ++line) text += "line " + std::to_string(line) + " of the sea\n";
    lines_ = std::make_unique<Filler>(Filler::Text(*tokenizer_, text));
    paper_ = std::make_unique<Filler>(Filler::Paper(*tokenizer_));
  }

  std::string Decode(const std::vector<uint32_t>& tokens, int64_t first, int64_t end) const {
    std::string text;
    for (int64_t i = first; i < end; ++i)
      text += tokenizer_->Decode(tokens[static_cast<size_t>(i)]);
    return text;
  }
  PlantedText Make(const Filler& filler, const PlantingPlan& plan, int64_t length,
                   int64_t text) const {
    auto made = TextPlanter(*tokenizer_, filler, opening_, plan).Make(length, text);
    EXPECT_TRUE(made.has_value()) << made.error().message;
    return std::move(made).value();
  }

  std::unique_ptr<Tokenizer> tokenizer_;
  std::unique_ptr<Filler> lines_, paper_;
  std::vector<uint32_t> opening_{1, 50, 51, 52};
};

TEST_F(PlantedTextTest, HasExactlyTheTokensAskedForAndItsFactsInTheirBins) {
  for (const EvalTask task : {EvalTask::kPasskey, EvalTask::kFacts}) {
    for (const Filler* filler : {lines_.get(), paper_.get()}) {
      for (const int64_t length : {2048, 2049, 5000, 20000}) {
        const PlantingPlan plan{task, 5, 10, 3};
        const PlantedText made = Make(*filler, plan, length, 2);
        ASSERT_EQ(std::ssize(made.tokens), length);
        EXPECT_TRUE(std::equal(opening_.begin(), opening_.end(), made.tokens.begin()));
        ASSERT_EQ(made.plantings.size(), 10u);
        for (size_t i = 0; i < made.plantings.size(); ++i) {
          const Planting& planting = made.plantings[i];
          EXPECT_EQ(planting.bin, static_cast<int>(i) / 2);
          EXPECT_GE(planting.depth, planting.bin / 5.0);
          EXPECT_LT(planting.depth, (planting.bin + 1) / 5.0);
          EXPECT_DOUBLE_EQ(planting.depth * static_cast<double>(length),
                           static_cast<double>(planting.places.back().first));
        }
      }
    }
  }
}

TEST_F(PlantedTextTest, EverySentenceIsALine) {
  for (const Filler* filler : {lines_.get(), paper_.get()}) {
    for (int64_t text = 0; text < 5; ++text) {
      const PlantedText made = Make(*filler, {EvalTask::kFacts, 6, 6, 1}, 6000, text);
      const std::string all = Decode(made.tokens, std::ssize(opening_), std::ssize(made.tokens));
      for (const Planting& planting : made.plantings) {
        for (size_t s = 0; s < planting.places.size(); ++s) {
          const Place& place = planting.places[s];
          const std::string line = planting.fact.sentences[s] + "\n";
          const std::string there = Decode(made.tokens, place.first, place.end);
          EXPECT_TRUE(there == line || there == "\n" + line) << there;
          EXPECT_NE(all.find("\n" + line), std::string::npos) << line;
          EXPECT_EQ(all.find(line), all.rfind(line)) << line;
        }
      }
    }
  }
}

TEST_F(PlantedTextTest, WithLinesInTheFillerNoLineIsBroken) {
  const PlantedText made = Make(*lines_, {EvalTask::kPasskey, 5, 5, 1}, 4000, 0);
  for (const Planting& planting : made.plantings) {
    const Place& place = planting.places[0];
    EXPECT_EQ(Decode(made.tokens, place.first, place.end), planting.fact.sentences[0] + "\n");
    EXPECT_EQ(Decode(made.tokens, place.first - 4, place.first), "sea\n");
    EXPECT_EQ(Decode(made.tokens, place.end, place.end + 4), "line ");
  }
}

TEST_F(PlantedTextTest, TheSentencesOfAChainStandApart) {
  int chains = 0;
  for (int64_t text = 0; text < 6; ++text) {
    for (const Planting& planting :
         Make(*lines_, {EvalTask::kFacts, 6, 6, 1}, 6000, text).plantings) {
      if (planting.places.size() < 2) continue;
      ++chains;
      EXPECT_GT(std::abs(planting.places[0].first - planting.places[1].first), 6000 / 20);
    }
  }
  EXPECT_EQ(chains, 6);
}

TEST_F(PlantedTextTest, ASingleFactTakesOneDepthAfterTheOther) {
  for (int64_t text = 0; text < 8; ++text) {
    const PlantedText made = Make(*lines_, {EvalTask::kPasskey, 4, 1, 1}, 1500, text);
    ASSERT_EQ(made.plantings.size(), 1u);
    EXPECT_EQ(made.plantings[0].bin, text % 4);
    EXPECT_NEAR(made.plantings[0].depth, (static_cast<double>(text % 4) + 0.5) / 4, 0.125);
  }
}

TEST_F(PlantedTextTest, TheSeedDecidesEverything) {
  const auto tokens = [&](uint64_t seed, int64_t text) {
    return Make(*lines_, {EvalTask::kPasskey, 5, 5, seed}, 3000, text).tokens;
  };
  EXPECT_EQ(tokens(1, 0), tokens(1, 0));
  EXPECT_NE(tokens(1, 0), tokens(2, 0));
  EXPECT_NE(tokens(1, 0), tokens(1, 1));
}

TEST_F(PlantedTextTest, TooManyFactsAreRefused) {
  const TextPlanter planter(*tokenizer_, *lines_, opening_, {EvalTask::kPasskey, 20, 20, 1});
  const auto made = planter.Make(1024, 0);
  ASSERT_FALSE(made.has_value());
  EXPECT_EQ(made.error().code, Errc::kInvalidArgument);
  EXPECT_NE(made.error().message.find("20 facts do not fit into a text of 1024 tokens"),
            std::string::npos);
}

TEST_F(PlantedTextTest, AFillerThatIsTooShortBeginsAgain) {
  const Filler few = Filler::Text(*tokenizer_, "one line\nand another\n");
  const TextPlanter planter(*tokenizer_, few, opening_, {EvalTask::kPasskey, 1, 1, 1});
  EXPECT_TRUE(planter.Repeats(300));
  EXPECT_FALSE(planter.Repeats(few.size()));
  const auto made = planter.Make(300, 0);
  ASSERT_TRUE(made.has_value());
  EXPECT_EQ(made.value().tokens.size(), 300u);
}

}  // namespace
}  // namespace cairn
