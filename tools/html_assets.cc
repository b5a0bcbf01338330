#include "tools/html_assets.h"

#include "tools/html_asset_parts.h"

namespace cairn {

const char* const kPageStyle = kPageStyleFile;
const char* const kTextHeatScript = kTextHeatFile;

}  // namespace cairn
