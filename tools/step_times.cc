#include "tools/step_times.h"

#include <algorithm>
#include <vector>

#include "bench/process_usage.h"
#include "storage/block_table.h"
#include "storage/slab_pool.h"
#include "tools/draw.h"
#include "tools/miss_curve.h"

namespace cairn {
namespace {

uint64_t BytesPerSlot(uint64_t block_bytes) {
  return SlabPool::SlotBytes(block_bytes) + BlockTable::kBytesPerSlot;
}

}  // namespace

uint32_t HostSlots(uint64_t memory_bytes, uint64_t block_bytes) {
  return static_cast<uint32_t>(
      std::min<uint64_t>(memory_bytes / BytesPerSlot(block_bytes), kNoSlot - 1));
}

uint64_t HostBytes(uint32_t slots, uint64_t block_bytes) {
  return slots * BytesPerSlot(block_bytes);
}

Result<StepTimes> TimeSteps(const CacheReplay& replay, const std::string& policy, uint32_t slots,
                            const StepEstimate* estimate) {
  CAIRN_TRY(const auto cache, MakePolicy(policy, slots, replay));
  StepTimes times;
  times.slots = slots;
  std::vector<double> steps;
  Draw draw("step times");
  std::optional<uint16_t> before;
  bool one_layer = true;
  for (const BlockId& id : replay.ids()) one_layer = one_layer && id.layer == replay.ids()[0].layer;
  times.hit_ratio = replay.HitRatio(*cache, [&](uint16_t layer, uint32_t blocks, uint32_t hits) {
    if (!before || layer < *before || one_layer) steps.push_back(0);
    before = layer;
    if (estimate != nullptr) steps.back() += estimate->FetchNs(hits, blocks - hits, draw.Unit());
  });
  times.steps = steps.size();
  if (estimate == nullptr || steps.empty()) return times;
  times.p50_ns = Quantile(steps, 0.5);
  if (times.steps >= kLeastP99Steps) times.p99_ns = Quantile(steps, 0.99);
  return times;
}

Result<std::optional<uint32_t>> SlotsForP99(const CacheReplay& replay, const std::string& policy,
                                            const StepEstimate& estimate, double p99_ns) {
  uint32_t low = replay.widest() + 1;
  uint32_t high = std::max(replay.blocks(), low);
  CAIRN_TRY(const StepTimes all, TimeSteps(replay, policy, high, &estimate));
  if (all.p99_ns.value_or(0) > p99_ns) return std::optional<uint32_t>();
  while (low < high) {  // more memory is hardly ever slower
    const uint32_t middle = low + (high - low) / 2;
    CAIRN_TRY(const StepTimes times, TimeSteps(replay, policy, middle, &estimate));
    if (times.p99_ns.value_or(0) <= p99_ns) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return std::optional<uint32_t>(high);
}

}  // namespace cairn
