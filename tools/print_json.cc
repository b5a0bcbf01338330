#include "tools/print_json.h"

#include <fmt/core.h>

#include <cstdio>
#include <nlohmann/json.hpp>

namespace cairn {

void PrintJson(const nlohmann::json& document) {
  fmt::print("{}\n", document.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  (void)std::fflush(stdout);  // the stream remembers an error until the end
}

}  // namespace cairn
