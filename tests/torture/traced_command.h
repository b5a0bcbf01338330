// A program that is killed at a chosen moment: just before the n-th of its system calls that change
// what file systems hold. A killed process leaves what such calls did, so that all n together are
// all that a kill can leave behind, but for the turns its threads take.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"

namespace cairn::test {

struct CommandEnd {
  bool killed = false;
  int exit_code = 0;   ///< if it was not
  uint64_t calls = 0;  ///< such calls that it came to; 0 where nobody may trace a process
};

/// Runs a program (path and arguments) with its output in the file `output`, and kills it before
/// call number `kill_before`, from 1 on; 0: never. Where nobody may trace a process it is killed
/// `kill_before` times 200 us after its start.
Result<CommandEnd> RunTraced(const std::vector<std::string>& command, const std::string& output,
                             uint64_t kill_before);

}  // namespace cairn::test
