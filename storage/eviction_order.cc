#include "storage/eviction_order.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"

namespace cairn {
namespace {

// A count loses a factor of √2 at each turn: 2 units of worth, of which 4 are a factor of 2.
constexpr double kUnitsPerFactor2 = 4;
const double kKept = std::sqrt(0.5);
constexpr uint32_t kFirstTurn = 1u << 20;  // so that a worth of 0 is that of nobody
constexpr uint32_t kDelays = 64;
constexpr int32_t kCostScale = 16;

// By units since: what one more use adds to a worth that has become old.
struct GainTable {
  explicit GainTable(int32_t most) : most_above(most), gain(kDelays + most) {
    for (int32_t i = 0; i < static_cast<int32_t>(gain.size()); ++i) {
      const double count = std::exp2(-(i - most) / kUnitsPerFactor2);
      gain[i] = static_cast<uint32_t>(std::lround(kUnitsPerFactor2 * std::log2(1 + count)));
    }
  }
  int32_t most_above;
  std::vector<uint32_t> gain;
};

// By worth above the oldest: turns of its layer that a block is expected to be left out of.
struct SkipTable {
  SkipTable(uint32_t oldest, uint32_t most) {
    for (uint32_t i = 0; i <= oldest + most; ++i) {
      const double count = std::exp2((static_cast<double>(i) - oldest) / kUnitsPerFactor2);
      const double chance = std::min(0.97, count * (1 - kKept));
      skips.push_back(static_cast<int32_t>(std::lround(kCostScale * (1 - chance) / chance)));
    }
  }
  std::vector<int32_t> skips;
};

}  // namespace

EvictionOrder::EvictionOrder(uint32_t slots) : slots_(slots), links_(slots + kLines * kLists) {
  static_assert(sizeof(Links) == kBytesPerSlot);
  static_assert(kOldest + kMost + kUnitsPerTurn < kLists);
  turns_.fill(kFirstTurn);
  for (uint32_t list = slots; list < links_.size(); ++list) links_[list] = {list, list};
}

EvictionOrder::Worth EvictionOrder::NextUse(uint16_t layer, Worth before) const {
  static const GainTable table(kMost);
  const Worth now = Now(LineOf(layer));
  const auto age = static_cast<int32_t>(now - before);
  if (age < -table.most_above || age >= static_cast<int32_t>(kDelays)) return now;
  return now + table.gain[age + table.most_above];
}

void EvictionOrder::BeginAccess(uint16_t layer) {
  const uint32_t line = LineOf(layer);
  lines_ = std::max(lines_, line + 1);
  if (line == line_ && lines_ > 1) return;
  line_ = line;
  // Lists that leave the window go on as the oldest one in it.
  const Worth oldest = Now(line) - kOldest;
  ++turns_[line];
  for (Worth left = oldest; left != oldest + kUnitsPerTurn; ++left) {
    Join(ListOf(line, left), ListOf(line, oldest + kUnitsPerTurn));
  }
}

/// Puts all of one list behind the oldest of another.
void EvictionOrder::Join(uint32_t from, uint32_t to) {
  const Links moved = links_[from];
  if (moved.newer == from) return;
  // The list's own links: `older` is its newest block, `newer` its oldest; it closes the circle.
  const uint32_t oldest = links_[to].newer;
  links_[moved.older].newer = oldest;
  links_[oldest].older = moved.older;
  links_[to].newer = moved.newer;
  links_[moved.newer].older = to;
  links_[from] = {from, from};
  Mark(from, false);
  Mark(to, true);
}

void EvictionOrder::Mark(uint32_t list, bool filled) {
  const uint32_t index = list - slots_;
  const uint64_t bit = uint64_t{1} << index % kLists;
  uint64_t& mask = filled_[index / kLists];
  mask = filled ? mask | bit : mask & ~bit;
}

void EvictionOrder::Add(uint32_t slot, uint16_t layer, Worth worth) {
  const uint32_t line = LineOf(layer);
  const Worth oldest = Now(line) - kOldest;
  const auto above = static_cast<int32_t>(worth - oldest);
  const auto most = static_cast<int32_t>(kOldest + kMost);
  const uint32_t list = ListOf(line, oldest + static_cast<Worth>(std::clamp(above, 0, most)));
  const uint32_t newest = links_[list].older;
  links_[slot] = {list, newest};
  links_[newest].newer = slot;
  links_[list].older = slot;
  Mark(list, true);
  ++size_;
}

void EvictionOrder::Remove(uint32_t slot) {
  const auto [newer, older] = links_[slot];
  links_[newer].older = older;
  links_[older].newer = newer;
  if (newer == older) Mark(newer, false);  // only a list stands on both sides
  --size_;
}

uint32_t EvictionOrder::Next() const {
  static const SkipTable table(kOldest, kMost);
  if (size_ == 0) return kNoSlot;
  const auto round = static_cast<int32_t>(lines_);
  int32_t longest = -1;
  uint32_t list = 0;
  for (uint32_t line = 0; line < kLines && (line < lines_ || longest < 0); ++line) {
    if (filled_[line] == 0) continue;
    const Worth oldest = Now(line) - kOldest;
    const auto above =
        static_cast<uint32_t>(std::countr_zero(std::rotr(filled_[line], oldest % kLists)));
    const int32_t ahead = static_cast<int32_t>(line) - static_cast<int32_t>(line_);
    const int32_t way = (ahead > 0 ? ahead : ahead + round) * kCostScale;
    const int32_t expected = way + round * table.skips[above];
    if (expected <= longest) continue;
    longest = expected;
    list = ListOf(line, oldest + above);
  }
  CAIRN_CHECK(longest >= 0);
  return links_[list].newer;
}

}  // namespace cairn
