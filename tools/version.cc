#include "tools/version.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "base/device.h"
#include "base/library_versions.h"
#include "index/faiss_cpu_index.h"
#include "index/faiss_gpu.h"
#include "index/tile_dots.h"
#include "kernels/attention.h"
#include "storage/rocks_version.h"
#include "tools/commit.h"

namespace cairn {
namespace {

#ifdef CAIRN_SANITIZED
constexpr bool kSanitizers = true;
#else
constexpr bool kSanitizers = false;
#endif

}  // namespace

std::vector<LibraryVersion> LinkedLibraries() {
  return {{"RocksDB", RocksVersion()},
          {"FAISS", FaissVersion()},
          {"oneDNN", OneDnnVersion()},
          {"oneTBB", OneTbbVersion()},
          {"Boost", BoostVersion()}};
}

std::vector<Instructions> InstructionsInUse() {
  return {{"attention", AttendTarget()},
          {"search", TileDotsTargets().front().name},
          {"matrices", OneDnnInstructions()}};
}

std::string VersionText() {
  std::string text = fmt::format("cairn {}\ncommit        {}\n", CAIRN_VERSION, CAIRN_COMMIT);
  text += fmt::format("built in      metrics{}; {}{}\n", kSanitizers ? ", sanitizers" : "",
                      Device::Api().empty() ? "no GPU code" : Device::Api(),
                      FaissGpuKind().empty() ? "" : ", FAISS for GPUs");
  std::string instructions, libraries;
  for (const auto& [part, name] : InstructionsInUse()) {
    instructions += fmt::format("{}{} {}", instructions.empty() ? "" : ", ", part, name);
  }
  for (const auto& [name, version] : LinkedLibraries()) {
    libraries += fmt::format("{}{} {}", libraries.empty() ? "" : ", ", name, version);
  }
  return text + fmt::format("instructions  {}\nlibraries     {}", instructions, libraries);
}

nlohmann::json VersionJson() {
  nlohmann::json json{{"version", CAIRN_VERSION},
                      {"commit", CAIRN_COMMIT},
                      {"features",
                       {{"metrics", true},
                        {"gpu", !Device::Api().empty()},
                        {"faiss_gpu", !FaissGpuKind().empty()},
                        {"sanitizers", kSanitizers}}}};
  for (const auto& [part, name] : InstructionsInUse()) json["instructions"][part] = name;
  for (const auto& [name, version] : LinkedLibraries()) json["libraries"][name] = version;
  return json;
}

}  // namespace cairn
