// Machine: what a measurement was made on, for its report.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace cairn {

struct Machine {
  std::string cpu;  ///< as the kernel names it
  int cores = 0;    ///< that this process may use
  uint64_t memory_bytes = 0;
  std::string kernel, system;
  std::string file_system;  ///< of a directory, e.g. "ext4 on /dev/vda"
  std::string attention;    ///< the vector instructions that attention runs with
  std::string date;         ///< UTC, "2026-11-28 05:12:31"

  /// As of now; `directory` is where files are measured.
  static Machine Describe(const std::string& directory);
};

/// What the kernel would give programs now; nothing if it does not say.
std::optional<uint64_t> AvailableMemory();
/// The directory of this process's group of processes, of cgroup v2.
std::string GroupDirectory();
/// A limit that a container has set; nothing without one.
std::optional<uint64_t> GroupMemory();

}  // namespace cairn
