// SystemTurn: what a chat template says in the system turn of a conversation that brings none,
// where it puts that together from parts, as Llama 3.1 does with its dates.
#pragma once

#include <string>
#include <string_view>

namespace cairn {

/// What stands between `open` ("<|start_header_id|>system<|end_header_id|>\n\n") and `close` if
/// there are neither tools nor a system message. Empty if the template has no such turn, or one
/// that takes more than string literals, `date_string`, `system_message` and conditions of tools:
/// then nobody but Jinja knows. The date is the one that the template itself has for want of
/// another.
std::string SystemTurn(std::string_view source, std::string_view open, std::string_view close);

}  // namespace cairn
