// ChildProcess: another program, which goes when this object or this process goes.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace cairn {

/// Where PATH has a program of that name that can be run.
std::optional<std::string> FindProgram(const std::string& name);

class ChildProcess {
 public:
  /// Starts arguments[0], found through PATH, with no input and its output thrown away.
  static Result<ChildProcess> Start(const std::vector<std::string>& arguments);
  /// The same with a socket, `stream()`, as its input and output.
  static Result<ChildProcess> StartTalking(const std::vector<std::string>& arguments);
  /// Runs it to its end and gives what it wrote to stdout. kIo with the end of what it wrote to
  /// stderr if it failed.
  static Result<std::string> Output(const std::vector<std::string>& arguments);
  /// Ends the program.
  ~ChildProcess();
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;

  /// It has ended by itself.
  bool ended();
  /// -1 if there is none.
  int stream() const { return stream_; }

 private:
  explicit ChildProcess(pid_t pid, int stream = -1) : pid_(pid), stream_(stream) {}
  pid_t pid_;  // -1: nothing to end
  int stream_;
};

}  // namespace cairn
