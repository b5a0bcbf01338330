// cairn bench device: a GPU's part of a model's memory.
#pragma once

#include <memory>

#include "tools/command.h"

namespace cairn {

std::unique_ptr<Command> MakeDeviceBench();

}  // namespace cairn
