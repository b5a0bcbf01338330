// cairn bench search: what a search costs in a decode step, beside FAISS.
#pragma once

#include <memory>

#include "tools/command.h"

namespace cairn {

std::unique_ptr<Command> MakeSearchBench();

}  // namespace cairn
