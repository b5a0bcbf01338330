#include "tools/heat_map.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/plain_text.h"

namespace cairn {
namespace {

constexpr int kCellWidth = 72, kCellHeight = 40, kLeft = 110, kTop = 56, kBottom = 64, kRight = 24;
constexpr int kLeastWidth = 420;  // room for the title

struct Color {
  double red, green, blue;
};

// From nothing to everything found: red, pale, blue, which also differ to the colour-blind.
constexpr std::array<Color, 3> kScale{{{178, 24, 43}, {247, 247, 247}, {33, 102, 172}}};

Color ColorOf(double accuracy) {
  const double at = std::clamp(accuracy, 0.0, 1.0) * (kScale.size() - 1);
  const auto low = std::min(static_cast<size_t>(at), kScale.size() - 2);
  const double share = at - static_cast<double>(low);
  const auto mix = [&](double a, double b) { return std::round(a + (b - a) * share); };
  const Color& a = kScale[low];
  const Color& b = kScale[low + 1];
  return {mix(a.red, b.red), mix(a.green, b.green), mix(a.blue, b.blue)};
}

bool IsDark(const Color& c) { return 0.299 * c.red + 0.587 * c.green + 0.114 * c.blue < 140; }

std::string Text(int x, int y, const std::string& anchor, const std::string& text,
                 const std::string& more = "") {
  return fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"{}\"{}>{}</text>\n", x, y, anchor, more,
                     ForHtml(text));
}

std::string Cell(const Tally& tally, int x, int y) {
  const Color color = tally.asked == 0 ? Color{221, 221, 221} : ColorOf(tally.accuracy());
  std::string cell = fmt::format(
      "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"rgb({:.0f},{:.0f},{:.0f})\" "
      "stroke=\"white\"><title>{} of {} found</title></rect>\n",
      x, y, kCellWidth, kCellHeight, color.red, color.green, color.blue, tally.found, tally.asked);
  const std::string number = tally.asked == 0 ? "–" : fmt::format("{:.2f}", tally.accuracy());
  return cell + Text(x + kCellWidth / 2, y + kCellHeight / 2 + 5, "middle", number,
                     fmt::format(" fill=\"{}\"", IsDark(color) ? "white" : "black"));
}

}  // namespace

std::string HeatMapSvg(const EvalReport& report, const std::string& title) {
  const auto columns = static_cast<int>(report.lengths().size());
  const auto rows = static_cast<int>(columns == 0 ? 0 : report.lengths()[0].depths.size());
  const int width = std::max(kLeft + columns * kCellWidth + kRight, kLeastWidth);
  const int height = kTop + rows * kCellHeight + kBottom;
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} "
      "{1}\" font-family=\"sans-serif\" font-size=\"14\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
      width, height);
  svg += Text(16, 28, "start", title, " font-size=\"16\" font-weight=\"bold\"");
  for (int row = 0; row < rows; ++row) {
    const int y = kTop + row * kCellHeight;
    svg += Text(kLeft - 8, y + kCellHeight / 2 + 5, "end",
                fmt::format("{:.0f}–{:.0f} %", 100.0 * row / rows, 100.0 * (row + 1) / rows));
    for (int column = 0; column < columns; ++column) {
      const LengthReport& length = report.lengths()[static_cast<size_t>(column)];
      svg += Cell(length.depths[static_cast<size_t>(row)], kLeft + column * kCellWidth, y);
    }
  }
  const int bottom = kTop + rows * kCellHeight;
  for (int column = 0; column < columns; ++column) {
    svg += Text(kLeft + column * kCellWidth + kCellWidth / 2, bottom + 20, "middle",
                LengthName(report.lengths()[static_cast<size_t>(column)].length));
  }
  svg += Text(kLeft + columns * kCellWidth / 2, bottom + 46, "middle", "tokens in the text");
  const int middle = kTop + rows * kCellHeight / 2;
  svg += Text(20, middle, "middle", "depth of the fact",
              fmt::format(" transform=\"rotate(-90 20 {})\"", middle));
  return svg + "</svg>\n";
}

}  // namespace cairn
