// The ladder as a page: one file with its data, plots and tables, which asks nothing of any
// network.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace cairn {

/// HTML made from LadderJson's document, with "miss_curves" beside. Plots are drawn by the page
/// itself (tools/ladder_page.js) from the document, which stands in it as it is.
std::string LadderPage(const nlohmann::json& ladder);

}  // namespace cairn
