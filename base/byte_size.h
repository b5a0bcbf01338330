// Sizes in bytes as people write them: "512MiB", "4 KiB", "1073741824".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace cairn {

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;

/// Digits, optionally with a fraction, and a unit out of B, KiB, MiB, GiB, TiB (none means bytes).
/// kInvalidArgument with the text and an example otherwise.
Result<uint64_t> ParseByteSize(std::string_view text);

/// E.g. "1.5 GiB"; exact below 1 KiB, one decimal above.
std::string FormatByteSize(uint64_t bytes);

}  // namespace cairn
