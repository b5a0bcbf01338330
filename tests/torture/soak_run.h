// SoakRun: random sessions in several threads under small limits, for as long as asked, and what
// the process and its store take meanwhile: memory, files, disk, and how long things last.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/error.h"

namespace cairn::test {

struct SoakOptions {
  double minutes = 1;
  uint64_t seed = 1;
  double sample_seconds = 5;
  std::string csv{};  ///< a file for the samples; empty: none
};

struct SoakSummary {
  uint64_t samples = 0;
  uint64_t operations = 0;
  uint64_t reopened = 0;  ///< times that the store was opened anew and all of it compared
  // Medians of the second and of the last fifth of the samples; what grows shows between them.
  double rss_early = 0, rss_late = 0;      ///< MiB
  double files_early = 0, files_late = 0;  ///< open ones
  double disk_early = 0, disk_late = 0;    ///< MiB of the store
};

/// An error is what SessionCrowd finds wrong, or that the samples cannot be written.
Status Soak(const SoakOptions& options, SoakSummary* summary);

}  // namespace cairn::test
