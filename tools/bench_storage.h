// cairn bench storage: how close a store comes to the disk it is on.
#pragma once

#include <memory>

#include "tools/command.h"

namespace cairn {

std::unique_ptr<Command> MakeStorageBench();

}  // namespace cairn
