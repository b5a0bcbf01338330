// The styles and the script of every page.
#pragma once

namespace cairn {

extern const char* const kPageStyle;
extern const char* const kPageScript;

}  // namespace cairn
