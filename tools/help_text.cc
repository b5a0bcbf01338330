#include "tools/help_text.h"

#include <utility>

namespace cairn {
namespace {

class Layout final : public CLI::Formatter {
 public:
  std::string make_option_opts(const CLI::Option* option) const override {
    std::string text = CLI::Formatter::make_option_opts(option);
    const size_t begin = text.find(" (Env:");
    if (begin == std::string::npos) return text;
    return text.erase(begin, text.find(')', begin) - begin + 1);
  }
};

}  // namespace

std::string HelpText(const CLI::App* app, std::string name, CLI::AppFormatMode mode) {
  return Layout().make_help(app, std::move(name), mode);
}

}  // namespace cairn
