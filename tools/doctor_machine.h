// What `cairn doctor` finds about the machine, and what this process may use of it.
#pragma once

#include <string>

#include "tools/finding.h"

namespace cairn {

/// Processor, cores, memory, system, GPU.
Findings LookAtMachine(const std::string& directory);
/// Open files, io_uring, locked memory, large pages.
Findings LookAtLimits();

}  // namespace cairn
