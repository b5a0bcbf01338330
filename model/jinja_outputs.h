// JinjaOutput: what a chat template in Jinja writes, expression by expression. Not an interpreter:
// enough to recognise templates by what they put around a message.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cairn {

/// One {{ ... }}: the terms of its sum in order, and the text up to the next tag.
struct JinjaOutput {
  struct Term {
    bool literal = false;  ///< a whole string; its escapes are undone
    std::string text;      ///< of other expressions without spaces, with ' for "
  };
  std::vector<Term> terms;
  /// Without what the template's marks (-) take away, or the options trim_blocks and lstrip_blocks
  /// that chat templates are written for.
  std::string after;
};

/// All outputs of `source`, any text, in order; statements and comments are passed over.
std::vector<JinjaOutput> JinjaOutputs(std::string_view source);

}  // namespace cairn
