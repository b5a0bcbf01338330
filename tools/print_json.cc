#include "tools/print_json.h"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

namespace cairn {

void PrintJson(const nlohmann::json& document) {
  fmt::print("{}\n", document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

}  // namespace cairn
