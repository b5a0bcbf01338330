#include "tools/ladder_page.h"

#include <fmt/format.h>

#include "tools/ladder_page_parts.h"

namespace cairn {
namespace {

/// JSON inside a script element: nothing in it may end the element.
std::string Embedded(const nlohmann::json& document) {
  std::string text;
  // What is no UTF-8, in a file's name for example, is replaced.
  for (const char c : document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace)) {
    if (c == '<') {
      text += "\\u003c";
    } else {
      text += c;
    }
  }
  return text;
}

}  // namespace

std::string LadderPage(const nlohmann::json& ladder, LadderPageParts parts) {
  constexpr const char* kPolicy =
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n";
  const bool inside = parts == LadderPageParts::kInside;
  const std::string style = inside ? fmt::format("<style>\n{}</style>\n", kLadderPageStyle)
                                   : "<link rel=\"stylesheet\" href=\"ladder_page.css\">\n";
  const std::string script = inside ? fmt::format("<script>\n{}</script>\n", kLadderPageScript)
                                    : "<script src=\"ladder_page.js\"></script>\n";
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n{}"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n<title>The latency ladder</title>\n{}"
      "</head>\n<body>\n<main id=\"page\"><noscript>This page draws its plots "
      "by a script of its own; the numbers are in its source.</noscript></main>\n"
      "<script type=\"application/json\" id=\"ladder\">{}</script>\n{}</body>\n</html>\n",
      inside ? kPolicy : "", style, Embedded(ladder), script);
}

const char* LadderPageStyle() { return kLadderPageStyle; }

const char* LadderPageScript() { return kLadderPageScript; }

}  // namespace cairn
