// BpeMerges against the definition: join the leftmost pair of lowest rank until none is left.
#include "model/bpe.h"

#include <gtest/gtest.h>

#include <random>

namespace cairn {
namespace {

std::vector<uint32_t> Reference(const BpeMerges& merges, std::vector<uint32_t> word) {
  for (;;) {
    std::optional<BpeMerges::Merge> best;
    size_t at = 0;
    for (size_t i = 0; i + 1 < word.size(); ++i) {
      const std::optional<BpeMerges::Merge> found = merges.Find(word[i], word[i + 1]);
      if (found && (!best || found->rank < best->rank)) {
        best = found;
        at = i;
      }
    }
    if (!best) return word;
    word[at] = best->merged;
    word.erase(word.begin() + static_cast<ptrdiff_t>(at) + 1);
  }
}

TEST(BpeTest, AgreesWithTheDefinition) {
  const uint64_t seed = 31;
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937_64 random(seed);
  for (int round = 0; round < 300; ++round) {
    const uint32_t letters = 2 + static_cast<uint32_t>(random() % 5);
    const uint32_t rules = static_cast<uint32_t>(random() % 40);
    BpeMerges merges(rules);
    for (uint32_t rank = 0; rank < rules; ++rank) {
      const auto known = letters + rank;
      merges.Add(static_cast<uint32_t>(random() % known), static_cast<uint32_t>(random() % known),
                 {rank, letters + rank});
    }
    for (const size_t length : {0, 1, 2, 3, 10, 47, 48, 49, 50, 200}) {
      std::vector<uint32_t> word(length);
      for (uint32_t& letter : word) letter = static_cast<uint32_t>(random() % letters);
      const std::vector<uint32_t> expected = Reference(merges, word);
      merges.Apply(word);
      ASSERT_EQ(word, expected) << "round " << round << ", length " << length;
    }
  }
}

TEST(BpeTest, FirstRuleOfAPairCounts) {
  BpeMerges merges(2);
  merges.Add(1, 2, {0, 3});
  merges.Add(1, 2, {1, 4});
  EXPECT_EQ(merges.Find(1, 2)->merged, 3u);
  EXPECT_FALSE(merges.Find(2, 1).has_value());
  std::vector<uint32_t> word{1, 2, 1};
  merges.Apply(word);
  EXPECT_EQ(word, (std::vector<uint32_t>{3, 1}));
}

TEST(BpeTest, NoRulesNoChange) {
  const BpeMerges merges(0);
  std::vector<uint32_t> word(1000, 5);
  merges.Apply(word);
  EXPECT_EQ(word.size(), 1000u);
}

}  // namespace
}  // namespace cairn
