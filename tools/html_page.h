// HtmlPage: one self-contained page: styles, script and data are in it, and its policy forbids it
// to load or send anything. Light and dark as the reader's system is; from 320 pixels of width on.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace cairn {

/// How much a block counts for in a layer.
struct HeatCell {
  int64_t block = 0;
  int32_t layer = 0;
  double value = 0;
};

/// A map of values over the text of a session: blocks from left to right, layers from top to
/// bottom.
struct TextHeat {
  struct Series {
    std::string label;
    std::vector<HeatCell> cells;
  };
  struct Passage {
    int64_t first = 0;  ///< token
    int64_t last = 0;
    std::string text;
  };

  int64_t blocks = 0;
  int32_t layers = 0;
  std::string what;   ///< behind a value: "fetches"
  bool percent;       ///< values are shares, shown in percent
  std::string scale;  ///< what it means that a place is strong: "the more of it was fetched"
  std::vector<Series> series;           ///< the reader picks one
  std::map<int64_t, Passage> passages;  ///< of blocks that have cells
};

/// What the map's script wants: `blocks`, `layers`, `what`, `percent`, `series` (of each its cells:
/// block, layer, value) and `passages` (by block: first and last token, text made harmless).
nlohmann::json HeatJson(const TextHeat& heat);

/// Its part of a page's body: the map, which is read with a mouse or with arrow keys, and the
/// passage under the cursor. At most one on a page.
std::string HeatSection(const TextHeat& heat);

/// The page. `body` is HTML; `title` is text.
std::string HtmlPage(std::string_view title, std::string_view body);

}  // namespace cairn
