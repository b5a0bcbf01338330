#include "tools/tier_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/byte_size.h"

namespace cairn {
namespace {

// Share of the stored bytes that no memory tier holds.
double ColdOnlyShare(const std::vector<TierReport>& tiers, uint64_t stored_bytes) {
  if (stored_bytes == 0) return 0;
  uint64_t in_memory = 0;
  for (const TierReport& tier : tiers) {
    if (std::string_view(tier.name) != "cold") in_memory = std::max(in_memory, tier.held_bytes);
  }
  const uint64_t held = std::min(in_memory, stored_bytes);
  return static_cast<double>(stored_bytes - held) / static_cast<double>(stored_bytes);
}

double Microseconds(uint64_t ns) { return static_cast<double>(ns) / 1000.0; }

// Time the model stood still for blocks.
double SecondsWaited(const std::vector<TierReport>& tiers) {
  return tiers.empty() ? 0 : static_cast<double>(tiers.front().waited_ns) / 1e9;
}

}  // namespace

nlohmann::json TiersJson(const std::vector<TierReport>& tiers, uint64_t stored_bytes,
                         const StepCounts& steps) {
  nlohmann::json list = nlohmann::json::array();
  for (const TierReport& tier : tiers) {
    list.push_back({{"tier", tier.name},
                    {"capacity_bytes", tier.capacity_bytes},
                    {"held_bytes", tier.held_bytes},
                    {"fetched_blocks", tier.fetched_blocks},
                    {"hit_blocks", tier.hit_blocks},
                    {"bytes_in", tier.bytes_in},
                    {"ahead_blocks", tier.ahead_blocks},
                    {"verify_failures", tier.verify_failures},
                    {"latency_us_p50", Microseconds(tier.latency_ns.Percentile(0.5))},
                    {"latency_us_p99", Microseconds(tier.latency_ns.Percentile(0.99))},
                    {"batches", tier.latency_ns.count()}});
  }
  return {{"tiers", list},
          {"seconds_waited", SecondsWaited(tiers)},
          {"stored_bytes", stored_bytes},
          {"cold_only_share", ColdOnlyShare(tiers, stored_bytes)},
          {"device_steps", steps.on_device.load()},
          {"host_steps", steps.by_host.load()}};
}

std::string TiersLine(const std::vector<TierReport>& tiers) {
  std::string line;
  for (const TierReport& tier : tiers) {
    line += fmt::format("{}{} {}", line.empty() ? "" : ", ", tier.name,
                        FormatByteSize(tier.held_bytes));
  }
  return line;
}

std::string TiersTable(const std::vector<TierReport>& tiers, uint64_t stored_bytes,
                       const StepCounts& steps) {
  std::string text = fmt::format("{:<8} {:>10} {:>10} {:>11} {:>11} {:>10} {:>10}\n", "tier",
                                 "capacity", "held", "fetches", "hits", "p50 us", "p99 us");
  for (const TierReport& tier : tiers) {
    text += fmt::format("{:<8} {:>10} {:>10} {:>11} {:>11} {:>10.1f} {:>10.1f}\n", tier.name,
                        tier.capacity_bytes == 0 ? "-" : FormatByteSize(tier.capacity_bytes),
                        FormatByteSize(tier.held_bytes), tier.fetched_blocks, tier.hit_blocks,
                        Microseconds(tier.latency_ns.Percentile(0.5)),
                        Microseconds(tier.latency_ns.Percentile(0.99)));
  }
  uint64_t ahead_blocks = 0;
  for (const TierReport& tier : tiers) ahead_blocks += tier.ahead_blocks;
  text += fmt::format(
      "sealed blocks: {}, {:.1f} % of it on disk only; latency is per batch\n"
      "{:.2f} s waited for blocks",
      FormatByteSize(stored_bytes), 100 * ColdOnlyShare(tiers, stored_bytes), SecondsWaited(tiers));
  if (ahead_blocks > 0) text += fmt::format(", {} blocks read ahead", ahead_blocks);
  const uint64_t on_device = steps.on_device, by_host = steps.by_host;
  if (on_device + by_host > 0) {
    text += fmt::format("\n{} steps on the device, {} by the host", on_device, by_host);
  }
  return text + "\n";
}

}  // namespace cairn
