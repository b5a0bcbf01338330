// cairn bench compare: two ladders.
#pragma once

#include <memory>

#include "tools/command.h"

namespace cairn {

std::unique_ptr<Command> MakeCompareBench();

}  // namespace cairn
