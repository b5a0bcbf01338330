#include "model/jinja_outputs.h"

#include <gtest/gtest.h>

namespace cairn {
namespace {

/// Outputs in a line each: literals in [], other terms in (), then what comes after.
std::string Show(std::string_view source) {
  std::string shown;
  for (const JinjaOutput& output : JinjaOutputs(source)) {
    for (const JinjaOutput::Term& term : output.terms) {
      shown += (term.literal ? "[" : "(") + term.text + (term.literal ? "]" : ")");
    }
    shown += output.after + ";";
  }
  return shown;
}

TEST(JinjaOutputsTest, Terms) {
  EXPECT_EQ(Show("{{ 'a' + b[\"c\"] + ' d' }}"), "[a](b['c'])[ d];");
  EXPECT_EQ(Show("{{- \" \" + message[\"content\"] | trim + eos_token}}"),
            "[ ](message['content']|trim)(eos_token);");
  EXPECT_EQ(Show("{{ f('x' + y) + \"it's \\\"so\\\"\\n\" }}"), "(f('x'+y))[it's \"so\"\n];");
  EXPECT_EQ(Show("{{ 'a' if b else 'c' }}"), "('a'ifbelse'c');");
  EXPECT_EQ(Show("{{- '{\"x\": {' }}{{- '}}' }}"), "[{\"x\": {];[}}];");
}

TEST(JinjaOutputsTest, StatementsAndCommentsArePassedOver) {
  EXPECT_EQ(Show("{% if a == '%}{{ no }}' %}{# {{ 'no' }} it's #}{{ 'yes' }}{% endif %}"),
            "[yes];");
  EXPECT_EQ(Show("plain { and {}, nothing more"), "");
}

TEST(JinjaOutputsTest, WhatStandsBehind) {
  EXPECT_EQ(Show("{{ 'a' }}\n{% endif %}"), "[a]\n;");
  EXPECT_EQ(Show("{{ 'a' }}\n    {% endif %}"), "[a]\n;");
  EXPECT_EQ(Show("{{ 'a' }} b {% endif %}"), "[a] b ;");
  EXPECT_EQ(Show("{{ 'a' }}\n  {{ 'b' }}"), "[a]\n  ;[b];");
  EXPECT_EQ(Show("{{ 'a' }}\n {%- endif %}"), "[a];");
  EXPECT_EQ(Show("{{ 'a' -}} \n b{% endif %}"), "[a]b;");
}

TEST(JinjaOutputsTest, WhateverEndsTooSoon) {
  for (const char* source :
       {"{", "{{", "{{ 'a", "{{ 'a\\", "{%", "{% '", "{#", "{{ a + }", "{{-", "{{-}}"}) {
    JinjaOutputs(source);
  }
  EXPECT_EQ(Show("{{ 'a"), "('a);");
  EXPECT_EQ(Show("{{-}}"), "();");
}

}  // namespace
}  // namespace cairn
