// cairn bench recall: how much of attention's mass a choice of blocks catches, on real queries.
#pragma once

#include <memory>

#include "tools/command.h"

namespace cairn {

std::unique_ptr<Command> MakeRecallBench();

}  // namespace cairn
