// HeatMap: accuracy by length and depth as a picture, one self-contained SVG.
#pragma once

#include <string>

#include "tools/eval_report.h"

namespace cairn {

/// Columns are lengths, rows depth bins with the start of the text on top. Each cell has its
/// accuracy as colour and as number; `title` stands above.
std::string HeatMapSvg(const EvalReport& report, const std::string& title);

}  // namespace cairn
