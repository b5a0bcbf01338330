// cuBLAS is loaded by the first search that needs it, so that programs start without. Internal to
// index/.
#pragma once

#include <string>

namespace cairn {

/// "" if cuBLAS is there; else why not.
std::string CublasProblem();

}  // namespace cairn
