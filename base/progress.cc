#include "base/progress.h"

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/plain_text.h"
#include "base/tell.h"

namespace cairn {

namespace {

/// A terminal that can erase the line it is in.
bool CanShow() {
  const char* kind = std::getenv("TERM");
  return isatty(STDERR_FILENO) != 0 && (kind == nullptr || std::strcmp(kind, "dumb") != 0);
}

/// `line`, cut so that it fits a row of the terminal: what is longer could not be erased.
std::string Fitting(const std::string& line) {
  std::string shown = ForTerminal(line);
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return shown;
  constexpr size_t kMark = 2;  // the last column stays free, and the mark of the cut takes one
  return Shortened(shown, size.ws_col > kMark ? size.ws_col - kMark : 0);
}

}  // namespace

Progress::Progress(bool quiet) : enabled_(!quiet && CanShow()) {}
Progress::~Progress() { Finish(); }

bool Progress::Due() const {
  using namespace std::chrono_literals;
  return enabled_ && std::chrono::steady_clock::now() - last_ >= 200ms;
}

void Progress::Show(const std::string& line) {
  if (!Due()) return;
  last_ = std::chrono::steady_clock::now();
  open_ = true;
  Tell("\r\033[K{}", Fitting(line));
  std::fflush(stderr);
}

void Progress::Finish() {
  if (open_) Tell("\n");
  open_ = false;
}

std::string FormatDuration(double seconds) {
  const auto total = static_cast<long>(seconds + 0.5);
  const long hours = total / 3600, minutes = total / 60 % 60, rest = total % 60;
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, rest);
  return fmt::format("{}:{:02}", minutes, rest);
}

}  // namespace cairn
