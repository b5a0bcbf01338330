// RecallPlot: what a choice catches over the size of blocks, a line for each stand-in, as SVG.
#pragma once

#include <string>
#include <vector>

#include "bench/recall_bench.h"

namespace cairn {

/// Rows of one budget; an empty list gives an empty frame.
std::string RecallPlotSvg(const std::vector<RecallRow>& rows, const std::string& title);

}  // namespace cairn
