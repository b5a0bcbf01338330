#include "tools/doctor_store.h"

#include <fmt/core.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/byte_size.h"
#include "bench/disk_probe.h"
#include "bench/machine.h"
#include "storage/session_catalog.h"
#include "tools/loaded_model.h"
#include "tools/workspace.h"

namespace cairn {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kLittleSpace = 5 * kGiB;
constexpr double kSlowRead = 100e6, kSlowWrite = 50e6;  // bytes per second
constexpr double kSlowSyncMs = 50;

std::string Rate(double bytes_per_second) {
  return FormatByteSize(static_cast<uint64_t>(bytes_per_second)) + "/s";
}

Finding Space(const std::string& directory) {
  std::error_code error;
  const fs::space_info space = fs::space(directory, error);
  const std::string file_system = Machine::Describe(directory).file_system;
  if (error) {
    return {Grade::kBad, "disk", "space", fmt::format("{}: {}", directory, error.message()),
            "name a directory that is there"};
  }
  Finding finding{
      Grade::kGood, "disk", "space",
      fmt::format("{} free at {} ({})", FormatByteSize(space.available), directory, file_system),
      ""};
  if (file_system.starts_with("tmpfs") || file_system.starts_with("ramfs")) {
    finding.grade = Grade::kBetter;
    finding.advice =
        "this is memory, and nothing in it stays after a restart: name a --store on a "
        "disk";
  }
  if (space.available < DiskProbe::kMostBytes) {
    finding.grade = Grade::kBad;
    finding.advice = "make room, or name a --store on another disk";
  } else if (space.available < kLittleSpace && finding.grade == Grade::kGood) {
    finding.grade = Grade::kBetter;
    finding.advice =
        "a small model's past takes 3 GB for 137,000 tokens: make room, keep it as q8 "
        "(--kv-type), or say --disk-limit";
  }
  return finding;
}

Finding Reading(const DiskProbe& probe) {
  Finding finding{Grade::kGood, "disk", "reading",
                  fmt::format("{}, 16 KiB at random places, 64 at once in {:.1f} ms (a file just "
                              "written: the disk's own cache may help)",
                              Rate(probe.read_bytes_per_second), probe.read_batch_ms),
                  ""};
  if (probe.read_bytes_per_second < kSlowRead) {
    finding.grade = Grade::kBetter;
    finding.advice =
        "answers will wait for blocks: name a --store on an SSD, or give more "
        "--host-memory";
  }
  return finding;
}

Finding Writing(const DiskProbe& probe) {
  Finding finding{Grade::kGood, "disk", "writing",
                  fmt::format("{} with syncs; 1 MiB is durable after {:.1f} ms",
                              Rate(probe.write_bytes_per_second), probe.sync_ms),
                  ""};
  if (probe.write_bytes_per_second < kSlowWrite || probe.sync_ms > kSlowSyncMs) {
    finding.grade = Grade::kBetter;
    finding.advice = "reading texts will wait for commits: name a --store on an SSD";
  }
  return finding;
}

}  // namespace

std::string DirectoryOf(const std::string& store) {
  std::error_code ignored;
  if (store.empty()) return ".";
  if (fs::is_directory(store, ignored)) return store;
  const fs::path parent = fs::path(store).parent_path();
  return parent.empty() ? "." : parent.string();
}

Findings LookAtDisk(const std::string& directory, nlohmann::json& figures) {
  Findings findings{Space(directory)};
  if (findings.front().grade == Grade::kBad) return findings;
  if (access(directory.c_str(), W_OK | X_OK) != 0) {
    findings.push_back({Grade::kBad, "disk", "writing", directory + " cannot be written to",
                        "change its owner or mode, or name another --store"});
    return findings;
  }
  const auto probe = DiskProbe::Measure(directory);
  if (!probe) {
    const bool cached = probe.error().code == Errc::kUnsupported;
    findings.push_back({cached ? Grade::kBetter : Grade::kBad, "disk",
                        cached ? "direct reads" : "writing",
                        cached ? "no: files are read through the page cache, and no speed of the "
                                 "disk can be told"
                               : probe.error().message,
                        cached ? "name a --store on a disk with ext4 or XFS"
                               : "change what it says, or name another --store"});
    return findings;
  }
  findings.push_back({Grade::kGood, "disk", "direct reads",
                      fmt::format("yes, by {}", probe.value().by_ring ? "io_uring" : "threads"),
                      ""});
  findings.push_back(Reading(probe.value()));
  findings.push_back(Writing(probe.value()));
  figures = {{"read_bytes_per_second", probe.value().read_bytes_per_second},
             {"read_batch_ms", probe.value().read_batch_ms},
             {"write_bytes_per_second", probe.value().write_bytes_per_second},
             {"sync_ms", probe.value().sync_ms},
             {"probe_bytes", probe.value().file_bytes}};
  return findings;
}

Findings LookAtStore(const Flags& flags) {
  if (flags.store.empty()) return {};
  std::error_code ignored;
  if (!fs::exists(flags.store, ignored)) {
    return {{Grade::kGood, "store", "sessions", flags.store + " is not there yet", ""}};
  }
  if (!fs::is_directory(flags.store, ignored)) {
    return {{Grade::kBad, "store", "sessions", flags.store + " is not a directory",
             "name another --store: a directory, or a place where there is none yet"}};
  }
  const auto look = [&]() -> Result<std::string> {
    CAIRN_TRY(auto cold, OpenStore(flags, false, true));
    CAIRN_TRY(const auto catalog, SessionCatalog::Open(*cold, true));
    CAIRN_TRY(const auto all, catalog.List());
    if (!all.unreadable.empty()) {
      return Fail(Errc::kCorruption, "{} of its sessions cannot be read", all.unreadable.size());
    }
    return fmt::format("{} in {}", all.sessions.size(), FormatByteSize(cold->Stats().disk_bytes));
  };
  const auto found = look();
  if (found) return {{Grade::kGood, "store", "sessions", found.value(), ""}};
  if (found.error().code == Errc::kNotFound && fs::is_empty(flags.store, ignored)) {
    return {{Grade::kGood, "store", "sessions", flags.store + " is empty", ""}};
  }
  return {{Grade::kBad, "store", "sessions", found.error().message,
           "`cairn verify` says what is damaged, `cairn upgrade` brings an older store up to "
           "date; or name another --store"}};
}

Findings LookAtModel(const Flags& flags) {
  if (flags.model.empty()) {
    return {{Grade::kBetter, "model", "model", "none is named",
             "a new session needs one: --model, CAIRN_MODEL or model = FILE in the configuration "
             "file"}};
  }
  const auto model = flags.OpenModel();
  if (!model) {
    return {{Grade::kBad, "model", "model", model.error().message,
             "name another --model or --adapter, or correct what is set"}};
  }
  const LandmarkInfo* landmark = model.value()->landmark();
  return {{Grade::kGood, "model", "model",
           fmt::format("{}, {}", flags.model,
                       landmark == nullptr ? "without landmarks"
                                           : fmt::format("with landmarks, one in {} rows",
                                                         landmark->regular_tokens + 1)),
           ""}};
}

}  // namespace cairn
