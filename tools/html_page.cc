#include "tools/html_page.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/plain_text.h"
#include "tools/html_assets.h"

namespace cairn {
namespace {

using nlohmann::json;

json SeriesJson(const TextHeat::Series& series) {
  json cells = json::array();
  for (const HeatCell& cell : series.cells) {
    cells.push_back({cell.block, cell.layer, std::round(cell.value * 1e4) / 1e4});
  }
  return cells;
}

}  // namespace

nlohmann::json HeatJson(const TextHeat& heat) {
  json data{{"blocks", heat.blocks},   {"layers", heat.layers},   {"what", heat.what},
            {"percent", heat.percent}, {"series", json::array()}, {"passages", json::object()}};
  for (const TextHeat::Series& series : heat.series) data["series"].push_back(SeriesJson(series));
  for (const auto& [block, passage] : heat.passages) {
    // As a page shows text, so that data and markup agree.
    data["passages"][std::to_string(block)] = {passage.first, passage.last,
                                               ForTerminal(passage.text, Lines::kKeep)};
  }
  return data;
}

std::string HeatSection(const TextHeat& heat) {
  std::string buttons;
  for (size_t i = 0; i < heat.series.size(); ++i) {
    buttons +=
        fmt::format("<button type=\"button\" data-series=\"{}\" aria-pressed=\"{}\">{}</button>\n",
                    i, i == 0 ? "true" : "false", ForHtml(heat.series[i].label));
  }
  const std::string text = HeatJson(heat).dump(-1, ' ', true, json::error_handler_t::replace);
  return fmt::format(
      "<section aria-label=\"Map\">\n<h2>Where it was read</h2>\n"
      "<p class=\"note\">Blocks of the text from left to right, layers from 0 at the top to {} at "
      "the bottom; the stronger a place, {}. Point at a place, or focus the map and use the arrow "
      "keys.</p>\n"
      "<div class=\"series\" role=\"group\" aria-label=\"What the map shows\">\n{}</div>\n"
      "<canvas id=\"map\" tabindex=\"0\" role=\"application\" aria-describedby=\"place\" "
      "aria-label=\"Map of {} blocks and {} layers; arrow keys move\"></canvas>\n"
      "<div class=\"scale\" aria-hidden=\"true\"><span>token 0</span><span id=\"last\"></span>"
      "</div>\n<div id=\"place\" class=\"passage\" aria-live=\"polite\"></div>\n"
      "<script type=\"application/json\" id=\"data\">{}</script>\n</section>\n",
      heat.layers - 1, ForHtml(heat.scale), buttons, heat.blocks, heat.layers, JsonForHtml(text));
}

std::string HtmlPage(std::string_view title, std::string_view body) {
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
      "'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<link rel=\"icon\" href=\"data:,\">\n"
      "<title>{}</title>\n<style>{}</style>\n</head>\n<body>\n<main>\n{}</main>\n"
      "<script>{}const holder = document.getElementById(\"data\");\n"
      "if (holder) textHeat(document, JSON.parse(holder.textContent));\n</script>\n"
      "</body>\n</html>\n",
      ForHtml(title), kPageStyle, body, kTextHeatScript);
}

}  // namespace cairn
