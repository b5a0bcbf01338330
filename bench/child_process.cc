#include "bench/child_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <utility>

namespace cairn {
namespace {

constexpr int kNotStarted = 127;

/// Reads until the other side is closed.
std::string ReadAll(int fd) {
  std::string all;
  char piece[4096];
  for (ssize_t count; (count = read(fd, piece, sizeof piece)) != 0;) {
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) break;
    all.append(piece, static_cast<size_t>(count));
  }
  return all;
}

/// In the child: its streams, then the program. Ends with this process even if that is killed.
[[noreturn]] void Become(const std::vector<std::string>& arguments, int in, int out, int err,
                         pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kNotStarted);
  const int null = open("/dev/null", O_RDWR);
  dup2(in >= 0 ? in : null, STDIN_FILENO);
  dup2(out >= 0 ? out : null, STDOUT_FILENO);
  dup2(err >= 0 ? err : null, STDERR_FILENO);
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(kNotStarted);
}

}  // namespace

std::optional<std::string> FindProgram(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "" : path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const std::string full = (folder.empty() ? "." : folder) + "/" + name;
    if (access(full.c_str(), X_OK) == 0) return full;
  }
  return std::nullopt;
}

Result<ChildProcess> ChildProcess::Start(const std::vector<std::string>& arguments) {
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return Fail(Errc::kIo, "cannot start {}: {}", arguments[0], std::strerror(errno));
  if (pid == 0) Become(arguments, -1, -1, -1, parent);
  return ChildProcess(pid);
}

Result<ChildProcess> ChildProcess::StartTalking(const std::vector<std::string>& arguments) {
  int ends[2] = {-1, -1};
  const pid_t parent = getpid();
  const pid_t pid = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0 ? fork() : -1;
  if (pid == 0) Become(arguments, ends[1], ends[1], -1, parent);
  const int code = errno;
  if (ends[1] >= 0) close(ends[1]);
  if (pid >= 0) return ChildProcess(pid, ends[0]);
  if (ends[0] >= 0) close(ends[0]);
  return Fail(Errc::kIo, "cannot start {}: {}", arguments[0], std::strerror(code));
}

Result<std::string> ChildProcess::Output(const std::vector<std::string>& arguments) {
  const int errors = memfd_create("stderr", MFD_CLOEXEC);
  int out[2] = {-1, -1};
  const pid_t parent = getpid();
  const pid_t pid = pipe2(out, O_CLOEXEC) == 0 ? fork() : -1;
  if (pid == 0) Become(arguments, -1, out[1], errors, parent);
  const int code = errno;
  std::string output, said;
  int status = 0;
  if (out[1] >= 0) close(out[1]);
  if (pid > 0) {
    output = ReadAll(out[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
  }
  if (out[0] >= 0) close(out[0]);
  if (errors >= 0) {
    lseek(errors, 0, SEEK_SET);
    said = ReadAll(errors);
    close(errors);
  }
  if (pid < 0) return Fail(Errc::kIo, "cannot start {}: {}", arguments[0], std::strerror(code));
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return output;
  constexpr size_t kMostSaid = 300;
  std::ranges::replace(said, '\n', ' ');
  if (said.size() > kMostSaid) said = said.substr(said.size() - kMostSaid);
  return Fail(Errc::kIo, "{} failed: {}", arguments[0], said.empty() ? "it said nothing" : said);
}

ChildProcess::~ChildProcess() {
  if (stream_ >= 0) close(stream_);
  if (pid_ < 0) return;
  kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), stream_(std::exchange(other.stream_, -1)) {}

bool ChildProcess::ended() {
  if (pid_ < 0 || waitpid(pid_, nullptr, WNOHANG) == 0) return pid_ < 0;
  pid_ = -1;
  return true;
}

}  // namespace cairn
