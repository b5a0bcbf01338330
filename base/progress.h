// Progress of long work, as one line on stderr that rewrites itself; silent where nobody looks.
#pragma once

#include <chrono>
#include <string>

namespace cairn {

/// Shows lines at most five times a second, only if stderr is a terminal and `quiet` is false.
/// Not thread-safe. The destructor ends the line.
class Progress {
 public:
  explicit Progress(bool quiet);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// True when a line would be shown now; lets callers skip composing it.
  bool Due() const;
  void Show(const std::string& line);
  /// Ends the line, so that other output starts on one of its own.
  void Finish();

 private:
  bool enabled_;
  bool open_ = false;
  std::chrono::steady_clock::time_point last_{};
};

/// "1:05" or "2:03:09", for times left.
std::string FormatDuration(double seconds);

}  // namespace cairn
