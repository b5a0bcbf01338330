// The ladder as a page: one file with its data, plots and tables, which asks nothing of any
// network.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace cairn {

/// Where the page has its style and script: in itself, or in files beside it that a server has.
enum class LadderPageParts { kInside, kBeside };

/// HTML made from LadderJson's document, with "miss_curves" beside. Plots are drawn by the page
/// itself (tools/ladder_page.js) from the document, which stands in it as it is.
std::string LadderPage(const nlohmann::json& ladder,
                       LadderPageParts parts = LadderPageParts::kInside);
/// "ladder_page.css" and "ladder_page.js".
const char* LadderPageStyle();
const char* LadderPageScript();

}  // namespace cairn
