#include "base/hash.h"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace cairn {
namespace {

std::string HexOf(std::string_view text) {
  Hasher hasher;
  hasher.Update(text);
  return hasher.Hex();
}

// Published values of XXH3: files on disk depend on them.
TEST(HashTest, IsXxh3) {
  EXPECT_EQ(Hash64(nullptr, 0), 0x2d06800538d394c2u);
  EXPECT_EQ(HexOf(""), "99aa06d3014798d86001c324468d497f");
}

TEST(HashTest, DependsOnEveryByteAndTheSeed) {
  std::string text(1000, 'x');
  const uint64_t hash = Hash64(text.data(), text.size());
  const std::string hex = HexOf(text);
  EXPECT_EQ(hash, Hash64(text.data(), text.size()));
  EXPECT_NE(hash, Hash64(text.data(), text.size(), 1));
  EXPECT_NE(hash, Hash64(text.data(), text.size() - 1));
  for (size_t i = 0; i < text.size(); ++i) {
    text[i] = 'y';
    EXPECT_NE(Hash64(text.data(), text.size()), hash) << i;
    EXPECT_NE(HexOf(text), hex) << i;
    text[i] = 'x';
  }
}

TEST(HasherTest, PiecesDoNotMatter) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += static_cast<char>(i * 37 % 251);
  for (const size_t piece : {1, 3, 64, 1000, 4999}) {
    Hasher hasher;
    for (size_t i = 0; i < text.size(); i += piece) hasher.Update(text.substr(i, piece));
    EXPECT_EQ(hasher.Hex(), HexOf(text)) << piece;
  }
}

TEST(HasherTest, HexLeavesItAsItIsAndMovesKeepIt) {
  Hasher hasher;
  hasher.Update("land");
  EXPECT_EQ(hasher.Hex(), hasher.Hex());
  Hasher moved = std::move(hasher);
  moved.Update("mark");
  EXPECT_EQ(moved.Hex(), HexOf("landmark"));
  Hasher other;
  other = std::move(moved);
  EXPECT_EQ(other.Hex(), HexOf("landmark"));
}

}  // namespace
}  // namespace cairn
