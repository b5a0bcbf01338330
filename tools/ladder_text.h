// The ladder as tables for a terminal, made from LadderJson's document.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

namespace cairn {

std::string LadderText(const nlohmann::json& ladder);

/// "1.23 ms", "45.6 us", "789 ns": three digits; "-" of null.
std::string FormatNs(const nlohmann::json& ns);

}  // namespace cairn
