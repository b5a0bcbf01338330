// ManPages: manual pages of all commands, made from what help is made of.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace cairn {

struct ManPage {
  std::string file;  ///< "cairn-ask.1"
  std::string text;  ///< roff, with the macros of man(7)
};

/// One of cairn itself and one of each command; commands below it stand on its page.
std::vector<ManPage> ManPages(const CLI::App& root);

}  // namespace cairn
