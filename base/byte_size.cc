#include "base/byte_size.h"

#include <array>
#include <charconv>

namespace cairn {
namespace {

struct Unit {
  std::string_view name;
  uint64_t bytes;
};
constexpr std::array<Unit, 6> kUnits{
    {{"", 1}, {"B", 1}, {"KiB", kKiB}, {"MiB", kMiB}, {"GiB", kGiB}, {"TiB", 1024 * kGiB}}};

}  // namespace

Result<uint64_t> ParseByteSize(std::string_view text) {
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  std::string_view unit(rest, static_cast<size_t>(end - rest));
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  if (error == std::errc() && number >= 0) {
    for (const Unit& known : kUnits) {
      const double bytes = number * static_cast<double>(known.bytes);
      if (unit == known.name && bytes < 9.0e18) return static_cast<uint64_t>(bytes);
    }
  }
  return Fail(Errc::kInvalidArgument, "'{}' is not a size; write e.g. 512MiB, 4KiB or 2GiB", text);
}

std::string FormatByteSize(uint64_t bytes) {
  if (bytes < kKiB) return fmt::format("{} B", bytes);
  size_t unit = 2;
  while (unit + 1 < kUnits.size() && bytes >= kUnits[unit + 1].bytes) ++unit;
  const double number = static_cast<double>(bytes) / static_cast<double>(kUnits[unit].bytes);
  return fmt::format("{:.1f} {}", number, kUnits[unit].name);
}

}  // namespace cairn
