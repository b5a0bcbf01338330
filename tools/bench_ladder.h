// cairn bench ladder: latency of each step of a retrieval, tier by tier.
#pragma once

#include <memory>

#include "tools/command.h"

namespace cairn {

std::unique_ptr<Command> MakeLadderBench();

}  // namespace cairn
