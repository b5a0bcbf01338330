#include "tools/miss_curve.h"

#include <algorithm>
#include <vector>

namespace cairn {
namespace {

constexpr const char* kNames[] = {"default", "lru", "clock", "s3-fifo", "optimum"};
constexpr double kPercents[] = {1, 2, 5, 10, 20, 30, 50, 70, 100};

}  // namespace

std::span<const char* const> PolicyNames() { return kNames; }

Result<std::unique_ptr<CachePolicy>> MakePolicy(std::string_view name, uint32_t slots,
                                                const CacheReplay& replay) {
  if (name == "default") return MakeTablePolicy(slots, replay.ids());
  if (name == "lru") return MakeLru(slots, replay.blocks());
  if (name == "clock") return MakeClock(slots, replay.blocks());
  if (name == "s3-fifo") return MakeS3Fifo(slots, replay.blocks());
  if (name == "optimum") return MakeOptimum(slots, replay.blocks(), replay.events());
  return Fail(Errc::kInvalidArgument,
              "there is no policy '{}'; use default, lru, clock, s3-fifo or optimum", name);
}

nlohmann::json MissCurveJson(const std::string& name, const CacheReplay& replay) {
  nlohmann::json points = nlohmann::json::array();
  uint32_t last = 0;
  for (const double percent : kPercents) {
    const auto share = static_cast<uint32_t>(percent / 100 * replay.blocks());
    const uint32_t slots = std::max(share, replay.widest() + 1);
    if (slots == last) continue;  // the least that works is more than this percentage
    last = slots;
    nlohmann::json ratios = nlohmann::json::object();
    for (const char* policy : kNames) {
      auto made = MakePolicy(policy, slots, replay);
      ratios[policy] = 1 - replay.HitRatio(*made.value());
    }
    points.push_back({{"percent", 100.0 * slots / std::max(replay.blocks(), 1u)},
                      {"slots", slots},
                      {"miss_ratio", std::move(ratios)}});
  }
  return {{"name", name},
          {"distinct_blocks", replay.blocks()},
          {"fetched_blocks", replay.fetched()},
          {"points", std::move(points)}};
}

}  // namespace cairn
