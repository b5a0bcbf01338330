#include "base/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace cairn {
namespace {

TEST(Utf8Test, Characters) {
  const auto expect = [](std::string_view text, uint32_t code, uint32_t bytes) {
    const Utf8Character first = FirstCharacter(text);
    EXPECT_EQ(first.code, code) << text;
    EXPECT_EQ(first.bytes, bytes) << text;
  };
  expect("ab", 'a', 1);
  expect("\u00e9x", 0xe9, 2);
  expect("\u2581x", 0x2581, 3);
  expect("\U0001f600", 0x1f600, 4);
  expect("\U0010ffff", 0x10ffff, 4);
  expect(std::string_view("\0", 1), 0, 1);
}

TEST(Utf8Test, WhatIsNone) {
  for (const char* text :
       {"\x80", "\xc0\xaf", "\xc3", "\xc3x", "\xe0\x80\x80", "\xed\xa0\x80", "\xe2\x96",
        "\xf0\x80\x80\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff"}) {
    EXPECT_EQ(FirstCharacter(text).code, kNoCharacter) << text;
    EXPECT_EQ(FirstCharacter(text).bytes, 1u) << text;
    EXPECT_FALSE(IsUtf8(std::string("a") + text));
  }
  EXPECT_TRUE(IsUtf8("a\u00e9\u2581\U0001f600"));
  EXPECT_TRUE(IsUtf8(""));
}

}  // namespace
}  // namespace cairn
