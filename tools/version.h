// What this program is: its version and commit, what is built in, the vector instructions in use,
// and the libraries that it is linked with.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace cairn {

struct LibraryVersion {
  std::string name, version;
};
/// Those whose results or files depend on their version.
std::vector<LibraryVersion> LinkedLibraries();

/// What a part of the arithmetic runs with on this CPU.
struct Instructions {
  std::string part, name;
};
std::vector<Instructions> InstructionsInUse();

/// Lines; the first is "cairn 1.2.3".
std::string VersionText();
/// Keys of docs/cli.md.
nlohmann::json VersionJson();

}  // namespace cairn
