#include "tests/torture/traced_command.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <iterator>

namespace cairn::test {
namespace {

constexpr uint32_t kCalls[] = {
    SYS_write,     SYS_pwrite64,  SYS_writev,   SYS_pwritev,   SYS_pwritev2,
    SYS_ftruncate, SYS_truncate,  SYS_unlinkat, SYS_mkdirat,   SYS_linkat,
    SYS_symlinkat, SYS_renameat2, SYS_sendfile, SYS_fallocate, SYS_copy_file_range,
#ifdef SYS_renameat
    SYS_renameat,
#endif
#ifdef SYS_rename  // and with it all the older ones
    SYS_rename,    SYS_unlink,    SYS_rmdir,    SYS_mkdir,     SYS_link,
    SYS_symlink,   SYS_creat,
#endif
};
#ifdef SYS_open
constexpr uint32_t kOpen = SYS_open;
#else
constexpr uint32_t kOpen = SYS_openat;
#endif
#if defined(__x86_64__)
constexpr uint32_t kMachine = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr uint32_t kMachine = AUDIT_ARCH_AARCH64;
#else
constexpr uint32_t kMachine = 0;  // none: nothing is traced
#endif

constexpr uint64_t kMicrosecondsPerCall = 200;
constexpr int kNotStarted = 127;

sock_filter Statement(uint16_t code, uint32_t k) { return BPF_STMT(code, k); }
sock_filter Jump(uint32_t code, uint32_t k, size_t if_true, size_t if_false) {
  return BPF_JUMP(static_cast<uint16_t>(code), k, static_cast<uint8_t>(if_true),
                  static_cast<uint8_t>(if_false));
}

/// Stops at the calls above, and at an open that makes or empties a file.
std::vector<sock_filter> Filter() {
  constexpr uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS;
  constexpr uint32_t kEqual = BPF_JMP | BPF_JEQ | BPF_K, kAnySet = BPF_JMP | BPF_JSET | BPF_K;
  constexpr uint16_t kReturn = BPF_RET | BPF_K;
  constexpr uint32_t kMakes = O_CREAT | O_TRUNC;
  const auto flags_of = [](size_t argument) {
    return static_cast<uint32_t>(offsetof(seccomp_data, args) + argument * sizeof(uint64_t));
  };
  const size_t calls = std::size(kCalls);
  std::vector<sock_filter> filter = {
      Statement(kLoad, offsetof(seccomp_data, arch)),
      Jump(kEqual, kMachine, 1, 0),
      Statement(kReturn, SECCOMP_RET_ALLOW),
      Statement(kLoad, offsetof(seccomp_data, nr)),
  };
  // Jumps count statements; what follows the calls are nine, of which the last one stops.
  for (size_t i = 0; i < calls; ++i) filter.push_back(Jump(kEqual, kCalls[i], calls - i + 7, 0));
  filter.push_back(Jump(kEqual, SYS_openat, 4, 0));
  filter.push_back(Jump(kEqual, kOpen, 1, 0));
  filter.push_back(Statement(kReturn, SECCOMP_RET_ALLOW));
  filter.push_back(Statement(kLoad, flags_of(1)));
  filter.push_back(Jump(BPF_JMP | BPF_JA, 1, 0, 0));
  filter.push_back(Statement(kLoad, flags_of(2)));
  filter.push_back(Jump(kAnySet, kMakes, 1, 0));
  filter.push_back(Statement(kReturn, SECCOMP_RET_ALLOW));
  filter.push_back(Statement(kReturn, SECCOMP_RET_TRACE));
  return filter;
}

bool SetFilter(const std::vector<sock_filter>& filter) {
  const sock_fprog program{static_cast<uint16_t>(filter.size()),
                           const_cast<sock_filter*>(filter.data())};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// Whether a child may be traced here; containers may forbid it.
bool MayTrace() {
  if (kMachine == 0) return false;
  const std::vector<sock_filter> filter = Filter();
  const pid_t child = fork();
  if (child == 0) {
    _exit(ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0 && SetFilter(filter) ? 0 : 1);
  }
  int status = 0;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

/// In the child: only what is safe between fork and exec.
[[noreturn]] void Start(char* const* argv, int output, const std::vector<sock_filter>* filter) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dup2(output, STDOUT_FILENO);
  dup2(output, STDERR_FILENO);
  if (filter != nullptr) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(kNotStarted);
    raise(SIGSTOP);
    if (!SetFilter(*filter)) _exit(kNotStarted);
  }
  execv(argv[0], argv);
  _exit(kNotStarted);
}

/// Lets the child and its threads go on from stop to stop; kills them at the chosen one.
int Follow(pid_t child, uint64_t kill_before, CommandEnd& end) {
  int status = 0;
  bool begun = false;
  while (true) {
    const pid_t stopped = waitpid(-1, &status, __WALL);
    if (stopped < 0 && errno != EINTR) return status;
    if (stopped == child && !WIFSTOPPED(status)) return status;
    if (stopped < 0 || !WIFSTOPPED(status)) continue;  // a thread has ended
    if (!begun) {
      begun = true;
      ptrace(PTRACE_SETOPTIONS, child, nullptr,
             PTRACE_O_TRACESECCOMP | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL);
    }
    const bool call = status >> 8 == (SIGTRAP | (PTRACE_EVENT_SECCOMP << 8));
    if (call && ++end.calls == kill_before) {
      kill(child, SIGKILL);
      continue;
    }
    // What a thread begins with, and what ptrace tells, is no signal of the program.
    const int signal = WSTOPSIG(status);
    const bool of_ptrace = signal == SIGSTOP || signal == SIGTRAP;
    ptrace(PTRACE_CONT, stopped, nullptr, of_ptrace ? 0 : signal);
  }
}

int KillInTime(pid_t child, uint64_t kill_before) {
  int status = 0;
  if (kill_before > 0) {
    usleep(static_cast<useconds_t>(kill_before * kMicrosecondsPerCall));
    kill(child, SIGKILL);
  }
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

Result<CommandEnd> RunTraced(const std::vector<std::string>& command, const std::string& output,
                             uint64_t kill_before) {
  static const bool traced = MayTrace();
  const std::vector<sock_filter> filter = Filter();
  std::vector<char*> argv;
  for (const std::string& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const int fd = open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return Fail(Errc::kIo, "cannot create {}: {}", output, std::strerror(errno));
  const pid_t child = fork();
  if (child == 0) Start(argv.data(), fd, traced ? &filter : nullptr);
  close(fd);
  if (child < 0) return Fail(Errc::kIo, "cannot start {}: {}", command[0], std::strerror(errno));
  CommandEnd end;
  const int status = traced ? Follow(child, kill_before, end) : KillInTime(child, kill_before);
  end.killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  if (end.killed) return end;
  if (WIFEXITED(status) && WEXITSTATUS(status) != kNotStarted) {
    end.exit_code = WEXITSTATUS(status);
    return end;
  }
  return Fail(Errc::kMismatch, "{} ended by itself (status {:#x})", command[0], status);
}

}  // namespace cairn::test
