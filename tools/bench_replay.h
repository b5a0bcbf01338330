// cairn bench replay: a trace against any memory and policy.
#pragma once

#include <memory>

#include "tools/command.h"

namespace cairn {

std::unique_ptr<Command> MakeReplayBench();

}  // namespace cairn
