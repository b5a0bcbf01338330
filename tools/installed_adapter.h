// Adapters that were installed with cairn: by their names they are found wherever that is.
#pragma once

#include <string>

namespace cairn {

/// `name` itself if it is a path or a file here; else the file of that name, with or without
/// ".gguf", in PREFIX/share/cairn/adapters, where PREFIX is what this program or library was
/// installed below. `name` too if there is none.
std::string FindAdapter(const std::string& name);

}  // namespace cairn
