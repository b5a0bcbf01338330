// cairn bench decode: answers of a whole model on a GPU.
#pragma once

#include <memory>

#include "tools/command.h"

namespace cairn {

std::unique_ptr<Command> MakeDecodeBench();

}  // namespace cairn
