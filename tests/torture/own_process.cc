#include "tests/torture/own_process.h"

#include <signal.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstring>

namespace cairn::test {

Result<pid_t> StartOwnProcess(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "cairn-torture");
  std::vector<char*> argv;
  for (std::string& argument : arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t child = 0;
  const int failure = posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, argv.data(), environ);
  if (failure == 0) return child;
  return Fail(Errc::kIo, "cannot start this program once more: {}", std::strerror(failure));
}

void EndWithParent() { prctl(PR_SET_PDEATHSIG, SIGKILL); }

}  // namespace cairn::test
