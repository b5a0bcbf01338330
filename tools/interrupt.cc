#include "tools/interrupt.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

namespace cairn {
namespace {

volatile std::sig_atomic_t interrupted = 0;
// A pipe that has a byte after a signal, whichever thread it came to and whenever: who waits for
// input waits for this too. -1: there is none, then a signal is seen if it meets the waiting
// thread.
int wake_read = -1, wake_write = -1;

void OnSignal(int signal) {
  const int code = errno;
  interrupted = 1;
  if (wake_write >= 0) (void)!write(wake_write, "", 1);
  std::signal(signal, SIG_DFL);
  errno = code;
}

}  // namespace

void CatchInterrupts() {
  int ends[2];
  if (wake_read < 0 && pipe2(ends, O_CLOEXEC | O_NONBLOCK) == 0) {
    wake_read = ends[0];
    wake_write = ends[1];
  }
  std::signal(SIGINT, OnSignal);
  std::signal(SIGTERM, OnSignal);
}

bool Interrupted() { return interrupted != 0; }

bool AwaitInput(int fd) {
  pollfd waits[] = {{fd, POLLIN, 0}, {wake_read, POLLIN, 0}};
  while (!Interrupted()) {
    const int ready = poll(waits, 2, -1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0 || waits[0].revents != 0) return !Interrupted();
  }
  return false;
}

}  // namespace cairn
