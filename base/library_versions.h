// Versions of the libraries that base adapts, as they are linked: each is told by its adapter.
#pragma once

#include <string>

namespace cairn {

/// E.g. "2.6.3", of the library that is loaded.
std::string OneDnnVersion();
/// The vector instructions that oneDNN uses on this CPU, e.g. "avx512_core_bf16".
std::string OneDnnInstructions();
/// E.g. "2021.8", of the library that is loaded.
std::string OneTbbVersion();
/// E.g. "1.74"; of its headers, as nothing of Boost is linked.
std::string BoostVersion();

}  // namespace cairn
