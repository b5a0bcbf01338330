// What `cairn doctor` finds about the disk that a store is, or would be, on, about the store, and
// about the model that commands would use.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "tools/finding.h"
#include "tools/flags.h"

namespace cairn {

/// Where files of a store at `store` lie: itself, or the directory that it would be made in, or the
/// current one if no store is named.
std::string DirectoryOf(const std::string& store);

/// File system, free space, reading past the page cache and speed. Figures go into `figures`, which
/// stays null if nothing could be measured.
Findings LookAtDisk(const std::string& directory, nlohmann::json& figures);
/// What is at --store; nothing if none is named.
Findings LookAtStore(const Flags& flags);
/// What is at --model and --adapter.
Findings LookAtModel(const Flags& flags);

}  // namespace cairn
