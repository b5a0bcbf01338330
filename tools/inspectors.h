// The subcommands of `cairn inspect`, one file each. All only read.
#pragma once

#include <memory>

#include "tools/command.h"

namespace cairn {

std::unique_ptr<Command> MakeBlocksInspector();
std::unique_ptr<Command> MakeBlockInspector();
std::unique_ptr<Command> MakeTextInspector();
std::unique_ptr<Command> MakeLayoutInspector();
std::unique_ptr<Command> MakeDiffInspector();

}  // namespace cairn
