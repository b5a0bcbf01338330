// PlantedFact: which subjects facts have, and which answers are right.
#include "tools/planted_fact.h"

#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>

namespace cairn {
namespace {

constexpr int64_t kLength = 4096;

PlantedFact FactOf(const std::string& kind, const std::string& value) {
  PlantedFact fact;
  fact.kind = kind;
  fact.value = value;
  return fact;
}

/// The name and the thing that the fact's first sentence is about, as far as it has them.
std::vector<std::string> SubjectsOf(const PlantedFact& fact) {
  const std::map<std::string, std::string> patterns{{"code", "The code of the (\\w+) is .*"},
                                                    {"phone", "The phone number of (\\w+) is .*"},
                                                    {"city", "(\\w+) lives in .*"},
                                                    {"color", "The (\\w+) of (\\w+) is .*"},
                                                    {"coins", "(\\w+) keeps .* in the (\\w+)."},
                                                    {"chain", "(\\w+) has the key to the (\\w+)."}};
  std::smatch match;
  EXPECT_TRUE(std::regex_match(fact.sentences[0], match, std::regex(patterns.at(fact.kind))))
      << fact.sentences[0];
  return {match.begin() + 1, match.end()};
}

TEST(PlantedFact, EqualArgumentsGiveEqualFacts) {
  for (const EvalTask task : {EvalTask::kPasskey, EvalTask::kFacts}) {
    const auto first = DrawFacts(task, 1, kLength, 3, 5);
    const auto again = DrawFacts(task, 1, kLength, 3, 5);
    ASSERT_EQ(first.size(), 5u);
    for (size_t i = 0; i < first.size(); ++i) EXPECT_EQ(first[i].sentences, again[i].sentences);
    EXPECT_NE(DrawFacts(task, 2, kLength, 3, 5)[0].sentences, first[0].sentences);
    EXPECT_NE(DrawFacts(task, 1, kLength, 4, 5)[0].sentences, first[0].sentences);
  }
}

TEST(PlantedFact, OnePassKeyNeedsNoSubjectAndSeveralDo) {
  const PlantedFact one = DrawFacts(EvalTask::kPasskey, 1, kLength, 0, 1)[0];
  EXPECT_EQ(one.question, "What is the pass key?");
  EXPECT_EQ(one.value.size(), 5u);
  EXPECT_EQ(one.sentences[0],
            "The pass key is " + one.value + ". Remember it. " + one.value + " is the pass key.");
  std::set<std::string> questions, values;
  const int most = MostFacts(EvalTask::kPasskey);
  for (const PlantedFact& fact : DrawFacts(EvalTask::kPasskey, 1, kLength, 0, most)) {
    questions.insert(fact.question);
    values.insert(fact.value);
    EXPECT_TRUE(fact.question.starts_with("What is the pass key of the "));
  }
  EXPECT_EQ(std::ssize(questions), most);
  EXPECT_EQ(std::ssize(values), most);
}

TEST(PlantedFact, KindsComeEquallyOftenAndSubjectsOnce) {
  for (const int count : {1, 5, 12, MostFacts(EvalTask::kFacts)}) {
    std::map<std::string, int> kinds;
    for (int64_t text = 0; text < 12; ++text) {
      std::set<std::string> subjects;
      for (const PlantedFact& fact : DrawFacts(EvalTask::kFacts, 1, kLength, text, count)) {
        ++kinds[fact.kind];
        EXPECT_EQ(fact.sentences.size(), fact.kind == "chain" ? 2u : 1u);
        EXPECT_NE(fact.sentences.back().find(fact.value), std::string::npos);
        for (const std::string& subject : SubjectsOf(fact)) {
          EXPECT_TRUE(subjects.insert(subject).second) << subject << " again";
        }
      }
    }
    EXPECT_EQ(kinds.size(), 6u);
    for (const auto& [kind, times] : kinds) EXPECT_EQ(times, 2 * count) << kind;
  }
}

TEST(PlantedFact, ANumberMustStandAlone) {
  const PlantedFact fact = FactOf("code", "12345");
  const auto right = [&](const char* answer) { return Judge(fact, answer).right; };
  const auto contains = [&](const char* answer) { return Judge(fact, answer).contains; };
  EXPECT_TRUE(right("The code of the vault is 12345."));
  EXPECT_FALSE(right("It is 12345 or 54321."));
  EXPECT_TRUE(contains("It is 12345 or 54321."));
  EXPECT_FALSE(right("12345 12345"));
  EXPECT_FALSE(right("912345"));
  EXPECT_FALSE(right("12,345"));
  EXPECT_FALSE(contains("12,345"));
  EXPECT_FALSE(right(""));
}

TEST(PlantedFact, AWordMayStandBesideOthersButNotBesideItsLike) {
  const PlantedFact city = FactOf("city", "Rome");
  EXPECT_TRUE(Judge(city, "alice lives in ROME, I think.").right);
  EXPECT_FALSE(Judge(city, "Rome or Paris").right);
  EXPECT_TRUE(Judge(city, "Rome or Paris").contains);
  EXPECT_FALSE(Judge(city, "Jerome").contains);
  EXPECT_TRUE(Judge(FactOf("color", "red"), "It is red, in Paris.").right);
  EXPECT_FALSE(Judge(FactOf("color", "red"), "Reddish.").right);
}

}  // namespace
}  // namespace cairn
