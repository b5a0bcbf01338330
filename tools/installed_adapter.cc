#include "tools/installed_adapter.h"

#include <dlfcn.h>
#include <link.h>

#include <filesystem>
#include <system_error>

namespace cairn {
namespace {

namespace fs = std::filesystem;

/// The file that this code was loaded from: the program, or the shared library; empty if unknown.
fs::path OwnFile() {
  Dl_info ignored;
  link_map* map = nullptr;
  const auto* here = reinterpret_cast<const void*>(&OwnFile);
  if (dladdr1(here, &ignored, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) == 0) return {};
  const bool program = map == nullptr || map->l_name == nullptr || *map->l_name == '\0';
  std::error_code unknown;
  return fs::canonical(program ? "/proc/self/exe" : map->l_name, unknown);
}

}  // namespace

std::string FindAdapter(const std::string& name) {
  std::error_code unreadable;  // is an error of opening it
  if (name.find('/') != std::string::npos || fs::exists(name, unreadable)) return name;
  const fs::path folder = OwnFile().parent_path();  // PREFIX/bin, /lib or /lib/x86_64-linux-gnu
  for (const fs::path& prefix : {folder.parent_path(), folder.parent_path().parent_path()}) {
    const fs::path file = prefix / "share/cairn/adapters" / name;
    for (const fs::path& candidate : {file, fs::path(file.string() + ".gguf")}) {
      if (fs::is_regular_file(candidate, unreadable)) return candidate.string();
    }
  }
  return name;
}

}  // namespace cairn
