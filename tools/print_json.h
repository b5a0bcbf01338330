// How a command says its one JSON document.
#pragma once

#include <nlohmann/json_fwd.hpp>

namespace cairn {

/// One line on stdout. Bytes that are no UTF-8, as names and texts may have, become U+FFFD.
void PrintJson(const nlohmann::json& document);

}  // namespace cairn
