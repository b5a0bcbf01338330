// fio beside our own reading of the device: the same file, the same sizes, the same number of
// requests at once.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"

namespace cairn {

struct FioRun {
  double bytes_per_second = 0;
  double p50_ns = 0, p99_ns = 0, max_ns = 0;  ///< of one request, from its submission on
};

struct FioSettings {
  std::string file;
  uint64_t file_bytes = 0;
  uint64_t block_bytes = 0;
  uint32_t batch = 1;  ///< requests submitted together, and waited for together
  double seconds = 1;
};

/// The command, for reports.
std::vector<std::string> FioCommand(const FioSettings& settings);
Result<FioRun> RunFio(const FioSettings& settings);
/// "fio-3.33"; nothing if it is not installed.
std::optional<std::string> FioVersion();

}  // namespace cairn
