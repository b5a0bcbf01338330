#include "bench/machine.h"

#include <sys/utsname.h>
#include <unistd.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/parallel.h"
#include "kernels/attention.h"

namespace cairn {
namespace {

/// The rest of the first line of `path` that begins with `head`, without blanks, ':', '=' and '"'.
std::string LineOf(const std::string& path, const std::string& head) {
  constexpr const char* kAround = " \t:=\"";
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with(head)) continue;
    const size_t begin = line.find_first_not_of(kAround, head.size());
    const size_t end = line.find_last_not_of(kAround);
    return begin == std::string::npos ? "" : line.substr(begin, end - begin + 1);
  }
  return "unknown";
}

/// The file system that holds `directory`: the mount with the longest path that begins it.
std::string FileSystemOf(const std::string& directory) {
  std::error_code error;
  const std::string full = std::filesystem::weakly_canonical(directory, error).string();
  std::ifstream mounts("/proc/self/mounts");
  std::string found = "unknown";
  size_t longest = 0;
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string device, where, type;
    words >> device >> where >> type;
    const bool holds = where == "/" || full == where || full.starts_with(where + "/");
    if (!holds || where.size() < longest) continue;
    longest = where.size();
    found = type + " on " + device;
  }
  return found;
}

}  // namespace

Machine Machine::Describe(const std::string& directory) {
  Machine machine;
  machine.cpu = LineOf("/proc/cpuinfo", "model name");
  machine.cores = Threads();
  machine.memory_bytes =
      static_cast<uint64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  utsname names{};
  if (uname(&names) == 0) machine.kernel = std::string(names.sysname) + " " + names.release;
  machine.system = LineOf("/etc/os-release", "PRETTY_NAME");
  machine.file_system = FileSystemOf(directory);
  machine.attention = AttendTarget();
  const std::time_t now = std::time(nullptr);
  std::tm utc{};
  char text[32] = "";
  if (gmtime_r(&now, &utc) != nullptr) std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &utc);
  machine.date = text;
  return machine;
}

std::optional<uint64_t> AvailableMemory() {
  std::ifstream file("/proc/meminfo");
  std::string name, unit;
  for (uint64_t kib = 0; file >> name >> kib;) {
    if (name == "MemAvailable:") return kib * 1024;
    std::getline(file, unit);
  }
  return std::nullopt;
}

std::string GroupDirectory() {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("0::")) return "/sys/fs/cgroup" + line.substr(3);
  }
  return "/sys/fs/cgroup";
}

std::optional<uint64_t> GroupMemory() {
  std::ifstream file(GroupDirectory() + "/memory.max");
  uint64_t bytes = 0;
  if (file >> bytes) return bytes;
  return std::nullopt;
}

}  // namespace cairn
