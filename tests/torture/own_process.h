// This program, started once more with other arguments.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/error.h"

namespace cairn::test {

/// The process id; the caller waits for it. It is killed if its parent ends before it and it has
/// called EndWithParent.
Result<pid_t> StartOwnProcess(std::vector<std::string> arguments);
void EndWithParent();

}  // namespace cairn::test
