#include "tools/doctor_machine.h"

#include <fmt/core.h>
#include <sys/resource.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

#include "base/byte_size.h"
#include "base/device.h"
#include "bench/machine.h"
#include "storage/io_ring.h"
#include "tools/version.h"

namespace cairn {
namespace {

constexpr uint64_t kLittleMemory = 2 * kGiB;
constexpr rlim_t kFewFiles = 512;
constexpr rlim_t kLittleLocked = 1 << 20;

std::string FirstLine(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

std::optional<double> GroupCores() {
  std::istringstream text(FirstLine(GroupDirectory() + "/cpu.max"));
  double quota = 0, period = 0;
  if (text >> quota >> period && period > 0) return quota / period;
  return std::nullopt;
}

Finding Processor(const Machine& machine) {
  std::string instructions;
  for (const auto& [part, name] : InstructionsInUse()) {
    instructions += fmt::format("{}{} {}", instructions.empty() ? "" : ", ", part, name);
  }
  Finding finding{Grade::kGood, "machine", "processor", machine.cpu + "; " + instructions, ""};
  if (machine.attention.starts_with("SSE") || machine.attention == "EMU128" ||
      machine.attention == "SCALAR") {
    finding.grade = Grade::kBetter;
    finding.advice =
        "a processor with AVX2 or AVX-512 computes several times faster; in a virtual "
        "machine, let it see the host's instructions";
  }
  return finding;
}

Finding Cores(const Machine& machine) {
  Finding finding{Grade::kGood, "machine", "cores", fmt::format("{}", machine.cores), ""};
  const std::optional<double> quota = GroupCores();
  if (quota.has_value() && *quota < machine.cores) {
    finding.grade = Grade::kBetter;
    finding.found += fmt::format(", of which a quota allows the time of {:.1f}", *quota);
    finding.advice = fmt::format("say --threads {}, so that no thread waits for its turn",
                                 std::max(1, static_cast<int>(std::floor(*quota))));
  }
  return finding;
}

Finding Memory(const Machine& machine) {
  uint64_t usable = AvailableMemory().value_or(machine.memory_bytes);
  Finding finding{
      Grade::kGood, "machine", "memory",
      fmt::format("{}, {} available", FormatByteSize(machine.memory_bytes), FormatByteSize(usable)),
      ""};
  if (const auto limit = GroupMemory(); limit.has_value() && *limit < machine.memory_bytes) {
    finding.found += fmt::format("; limited to {}", FormatByteSize(*limit));
    usable = std::min(usable, *limit);
  }
  if (usable < kLittleMemory) {
    finding.grade = Grade::kBetter;
    finding.advice = "free some memory, or say --host-memory 128MiB and use a small model";
  }
  return finding;
}

Finding Gpu() {
  std::string found;
  for (int32_t number = 0; number < Device::Count(); ++number) {
    const auto device = Device::Open(number);
    found += found.empty() ? "" : "; ";
    found += device.has_value()
                 ? fmt::format("{}, {}", device.value()->Name(), device.value()->model())
                 : device.error().message;
  }
  if (!found.empty()) {
    return {Grade::kGood, "machine", "GPU", found + "; used where --device says so", ""};
  }
  std::error_code ignored;
  for (const char* device : {"/dev/nvidia0", "/dev/kfd", "/dev/dri/renderD128"}) {
    if (!std::filesystem::exists(device, ignored)) continue;
    found += (found.empty() ? "" : ", ") + std::string(device);
  }
  if (found.empty()) {
    return {Grade::kGood, "machine", "GPU", "none: the processor computes everything", ""};
  }
  return {Grade::kBetter, "machine", "GPU",
          found + (Device::Api().empty() ? ": this program has no GPU code"
                                         : ": CUDA finds no device there"),
          Device::Api().empty() ? "for an NVIDIA GPU build cairn where nvcc is (docs/gpu.md)"
                                : "for an NVIDIA GPU install its driver"};
}

Finding OpenFiles() {
  rlimit limit{};
  (void)getrlimit(RLIMIT_NOFILE, &limit);
  const bool any = limit.rlim_max == RLIM_INFINITY;
  Finding finding{Grade::kGood, "limits", "open files",
                  any ? "any number" : fmt::format("{}", limit.rlim_max), ""};
  if (!any && limit.rlim_max < kFewFiles) {
    finding.grade = Grade::kBetter;
    finding.advice =
        "a store of ten million tokens has hundreds of files: raise the hard limit (ulimit -Hn, "
        "LimitNOFILE= of systemd)";
  }
  return finding;
}

Finding Ring() {
  const auto ring = IoRing::Open(64);
  if (ring) return {Grade::kGood, "limits", "io_uring", "works", ""};
  return {Grade::kBetter, "limits", "io_uring", ring.error().message,
          "reads go by threads, which costs more of the processor: allow io_uring (sysctl "
          "kernel.io_uring_disabled=0; in a container, its seccomp profile)"};
}

Finding LockedMemory() {
  rlimit limit{};
  (void)getrlimit(RLIMIT_MEMLOCK, &limit);
  const bool any = limit.rlim_max == RLIM_INFINITY;
  Finding finding{Grade::kGood, "limits", "locked memory",
                  any ? "any" : FormatByteSize(limit.rlim_max), ""};
  // Older kernels count an io_uring's memory here.
  if (!any && limit.rlim_max < kLittleLocked) {
    finding.grade = Grade::kBetter;
    finding.advice =
        "kernels before 5.12 count io_uring's memory here: raise the hard limit "
        "(ulimit -Hl, LimitMEMLOCK= of systemd) to 8 MiB";
  }
  return finding;
}

Finding LargePages() {
  const std::string modes = FirstLine("/sys/kernel/mm/transparent_hugepage/enabled");
  const size_t begin = modes.find('['), end = modes.find(']');
  const bool known = begin != std::string::npos && end != std::string::npos;
  const std::string mode = known ? modes.substr(begin + 1, end - begin - 1) : "not known";
  Finding finding{Grade::kGood, "limits", "large pages", mode, ""};
  if (mode != "always" && mode != "madvise") {
    finding.grade = Grade::kBetter;
    finding.advice =
        "tables of large stores are read faster in large pages: write madvise to "
        "/sys/kernel/mm/transparent_hugepage/enabled";
  }
  return finding;
}

}  // namespace

const char* GradeName(Grade grade) {
  switch (grade) {
    case Grade::kGood:
      return "good";
    case Grade::kBetter:
      return "could be better";
    case Grade::kBad:
      return "bad";
  }
  return "";
}

Findings LookAtMachine(const std::string& directory) {
  const Machine machine = Machine::Describe(directory);
  return {{Grade::kGood, "machine", "system", machine.system + ", " + machine.kernel, ""},
          Processor(machine),
          Cores(machine),
          Memory(machine),
          Gpu()};
}

Findings LookAtLimits() { return {OpenFiles(), Ring(), LockedMemory(), LargePages()}; }

}  // namespace cairn
