#include "base/tell.h"

#include <cstdio>

namespace cairn {

void TellText(std::string_view text) { (void)std::fwrite(text.data(), 1, text.size(), stderr); }

}  // namespace cairn
