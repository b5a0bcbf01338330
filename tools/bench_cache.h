// cairn bench cache: which blocks a memory would hold, by policy, on recorded traces; and how fast
// the table of blocks is.
#pragma once

#include <memory>

#include "tools/command.h"

namespace cairn {

std::unique_ptr<Command> MakeCacheBench();

}  // namespace cairn
