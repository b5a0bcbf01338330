#include "base/plain_text.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

TEST(PlainTextTest, TerminalsGetNothingToObey) {
  EXPECT_EQ(ForTerminal("plain, \u00e9 and \u6f22"), "plain, \u00e9 and \u6f22");
  EXPECT_EQ(ForTerminal("\x1b]0;title\x07"), "\\x1b]0;title\\x07");
  EXPECT_EQ(ForTerminal("a\r\nb\tc\x7f"), "a\\x0d b c\\x7f");
  EXPECT_EQ(ForTerminal("a\nb\tc", Lines::kKeep), "a\nb\tc");
  EXPECT_EQ(ForTerminal("\u009b31m"), "\\u{9b}31m") << "CSI as one character";
  EXPECT_EQ(ForTerminal("ab\u202ecd\u2066"), "ab\\u{202e}cd\\u{2066}");
  EXPECT_EQ(ForTerminal(std::string_view("a\0b", 3)), "a\\x00b");
}

TEST(PlainTextTest, BytesThatAreNotUtf8AreSpelledOut) {
  EXPECT_EQ(ForTerminal("\xff\x80"), "\\xff\\x80");
  EXPECT_EQ(ForTerminal("\xc0\xaf"), "\\xc0\\xaf") << "an overlong slash";
  EXPECT_EQ(ForTerminal("\xed\xa0\x80"), "\\xed\\xa0\\x80") << "half a surrogate pair";
  EXPECT_EQ(ForTerminal("\xf4\x90\x80\x80"), "\\xf4\\x90\\x80\\x80") << "beyond Unicode";
  EXPECT_EQ(ForTerminal("\xe6\xbc"), "\\xe6\\xbc") << "cut short";
  EXPECT_EQ(ForHtml("\xff"), "\uFFFD");
}

TEST(PlainTextTest, PagesGetTextOnly) {
  EXPECT_EQ(ForHtml("<b title='x'>&\"</b>"), "&lt;b title=&#39;x&#39;&gt;&amp;&quot;&lt;/b&gt;");
  EXPECT_EQ(ForHtml("a\x1b\u202e"
                    "b\n"),
            "a\uFFFD\uFFFDb\n");
  EXPECT_EQ(JsonForHtml("{\"a\":\"</script><!--&\"}"),
            "{\"a\":\"\\u003c/script\\u003e\\u003c!--\\u0026\"}");
}

TEST(PlainTextTest, ShortenedNeverPartsACharacter) {
  EXPECT_EQ(Shortened("\u00e9\u00e8\u00ea", 2), "\u00e9\u00e8\u2026");
  EXPECT_EQ(Shortened("\u00e9\u00e8", 2), "\u00e9\u00e8");
  EXPECT_EQ(Shortened("", 0), "");
}

TEST(PlainTextTest, AMegabyteIsNoTrouble) {
  const std::string line(1 << 20, '\x1b');
  EXPECT_EQ(ForTerminal(line).size(), line.size() * 4);
  EXPECT_EQ(ForHtml(std::string(1 << 20, '<')).size(), size_t{4} << 20);
}

}  // namespace
}  // namespace cairn
