// ProcessUsage: what this process has used of the machine so far.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <vector>

namespace cairn {

struct ProcessUsage {
  double cpu_seconds = 0;                 ///< user and system, all threads
  std::optional<uint64_t> written_bytes;  ///< given to the disk; nothing if the system does not say
  uint64_t resident_bytes = 0;            ///< in memory now

  static ProcessUsage Now();
};

/// Gives back to the system what the allocator keeps for later, so that resident_bytes tells.
void ReleaseFreeMemory();

class Stopwatch {
 public:
  double Seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// The middle one, or the mean of the two; 0 of nothing.
double Median(std::vector<double> values);
/// The value that a share `q` of all does not exceed; 0 of nothing.
double Quantile(std::vector<double> values, double q);

}  // namespace cairn
