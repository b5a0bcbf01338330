#include "tools/recall_plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace cairn {
namespace {

constexpr int kWidth = 620, kHeight = 380, kLeft = 64, kRight = 170, kTop = 48, kBottom = 56;
// Differ to the colour-blind too.
constexpr const char* kColors[] = {"#332288", "#117733", "#cc6677", "#ddaa33", "#4477aa"};

struct Axes {
  double least;     // of the vertical axis; its top is 1
  int first, last;  // powers of two of the block sizes

  double X(int block_rows) const {
    const double span = std::max(1, last - first);
    return kLeft + (std::log2(block_rows) - first) / span * (kWidth - kLeft - kRight);
  }
  double Y(double share) const {
    return kTop + (1 - share) / (1 - least) * (kHeight - kTop - kBottom);
  }
};

std::string Text(double x, double y, const char* anchor, const std::string& text,
                 const std::string& more = "") {
  return fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"{}\"{}>{}</text>\n", x, y,
                     anchor, more, text);
}

std::string Grid(const Axes& axes) {
  std::string svg;
  for (double share = axes.least; share < 1.001; share += 0.1) {
    svg += fmt::format("<line x1=\"{}\" x2=\"{}\" y1=\"{:.0f}\" y2=\"{:.0f}\" stroke=\"#ddd\"/>\n",
                       kLeft, kWidth - kRight, axes.Y(share), axes.Y(share));
    svg += Text(kLeft - 8, axes.Y(share) + 5, "end", fmt::format("{:.1f}", share));
  }
  for (int power = axes.first; power <= axes.last; ++power) {
    svg +=
        Text(axes.X(1 << power), kHeight - kBottom + 22, "middle", fmt::format("{}", 1 << power));
  }
  const double middle = (kLeft + kWidth - kRight) / 2.0;
  return svg + Text(middle, kHeight - 12, "middle", "rows of a block");
}

}  // namespace

std::string RecallPlotSvg(const std::vector<RecallRow>& rows, const std::string& title) {
  Axes axes{0.9, 4, 7};
  std::map<StandIn, std::vector<const RecallRow*>> lines;
  for (const RecallRow& row : rows) {
    axes.least = std::min(axes.least, std::floor(10 * row.mass / row.best_mass) / 10);
    lines[row.stand_in].push_back(&row);
  }
  std::string svg = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" viewBox=\"0 0 {0} "
      "{1}\" font-family=\"sans-serif\" font-size=\"14\">\n"
      "<rect width=\"{0}\" height=\"{1}\" fill=\"white\"/>\n",
      kWidth, kHeight);
  svg += Text(16, 26, "start", title, " font-size=\"16\" font-weight=\"bold\"") + Grid(axes);
  int number = 0;
  for (auto& [stand_in, line] : lines) {
    std::sort(line.begin(), line.end(),
              [](const RecallRow* a, const RecallRow* b) { return a->block_rows < b->block_rows; });
    const char* color = kColors[static_cast<size_t>(number) % std::size(kColors)];
    std::string points;
    for (const RecallRow* row : line) {
      const double x = axes.X(row->block_rows), y = axes.Y(row->mass / row->best_mass);
      points += fmt::format("{:.1f},{:.1f} ", x, y);
      svg += fmt::format(
          "<circle cx=\"{:.1f}\" cy=\"{:.1f}\" r=\"4\" "
          "fill=\"{}\"><title>{:.3f}</title></circle>\n",
          x, y, color, row->mass / row->best_mass);
    }
    svg += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n",
                       points, color);
    svg += Text(kWidth - kRight + 16, kTop + 24 + 22 * number, "start",
                std::string(StandInName(stand_in)), fmt::format(" fill=\"{}\"", color));
    ++number;
  }
  return svg + "</svg>\n";
}

}  // namespace cairn
