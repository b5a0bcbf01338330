// The styles and the script of every page, from files of their own: page.css, text_heat.js.
#pragma once

namespace cairn {

extern const char* const kPageStyle;
/// Defines textHeat(root, data): the map of a TextHeat.
extern const char* const kTextHeatScript;

}  // namespace cairn
