// cairn bench attention: attention of a layer over a long session, selection included.
#pragma once

#include <memory>

#include "tools/command.h"

namespace cairn {

std::unique_ptr<Command> MakeAttentionBench();

}  // namespace cairn
