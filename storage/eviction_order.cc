#include "storage/eviction_order.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/check.h"
#include "storage/large_pages.h"

namespace cairn {
namespace {

// A count loses a factor of √2 at each turn: 2 units of worth, of which 4 are a factor of 2.
constexpr double kUnitsPerFactor2 = 4;
constexpr uint32_t kFirstTurn = 1u << 20;  // so that a worth of 0 is that of nobody
constexpr uint32_t kDelays = 64;
constexpr int32_t kCostScale = 16;
constexpr int32_t kNobody = -(1 << 30);

// By units since a worth was that of now, from `most` above on: what one more use adds.
template <size_t most>
std::array<uint32_t, kDelays + most> MakeGains() {
  std::array<uint32_t, kDelays + most> gains{};
  for (size_t i = 0; i < gains.size(); ++i) {
    const double age = static_cast<double>(i) - static_cast<double>(most);
    const double count = std::exp2(-age / kUnitsPerFactor2);
    gains[i] = static_cast<uint32_t>(std::lround(kUnitsPerFactor2 * std::log2(1 + count)));
  }
  return gains;
}

// By worth above the oldest: turns of its layer that a block is expected to be left out of.
template <size_t oldest, size_t most>
std::array<int32_t, oldest + most + 1> MakeSkips() {
  std::array<int32_t, oldest + most + 1> skips{};
  for (size_t i = 0; i < skips.size(); ++i) {
    const double above_now = static_cast<double>(i) - static_cast<double>(oldest);
    const double chance =
        std::min(0.97, std::exp2(above_now / kUnitsPerFactor2) * (1 - std::sqrt(0.5)));
    skips[i] = static_cast<int32_t>(std::lround(kCostScale * (1 - chance) / chance));
  }
  return skips;
}

}  // namespace

EvictionOrder::EvictionOrder(uint32_t slots)
    : slots_(slots), links_(MakeInLargePages<Links>(slots + kLines * kLists)) {
  static_assert(sizeof(Links) == kBytesPerSlot);
  static_assert(kOldest + kMost + kUnitsPerTurn < kLists);
  // A rate has room for the line in its lowest bits, and for the longest way of all.
  static_assert(kLines == 128);
  turns_.fill(kFirstTurn);
  rates_.fill(kNobody);
  for (uint32_t list = slots; list < links_.size(); ++list) links_[list] = {list, list};
}

EvictionOrder::Worth EvictionOrder::NextUse(uint16_t layer, Worth before) const {
  static const auto gains = MakeGains<kMost>();
  const Worth now = Now(LineOf(layer));
  const uint32_t age = now - before + kMost;  // wraps for what is not of this table
  return age < gains.size() ? now + gains[age] : now;
}

void EvictionOrder::BeginAccess(uint16_t layer) {
  const uint32_t line = LineOf(layer);
  if (line >= lines_) {
    lines_ = line + 1;
    for (uint32_t i = 0; i < kLines; ++i) Rate(i);
  }
  if (line == line_ && lines_ > 1) return;
  line_ = line;
  // Lists that leave the window go on as the oldest one in it, in their order.
  const Worth oldest = Now(line) - kOldest;
  for (Worth left = oldest + kUnitsPerTurn; left-- != oldest;) {
    Join(ListOf(line, left), ListOf(line, oldest + kUnitsPerTurn));
  }
  ++turns_[line];
  Rate(line);
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
  if (((mask & bit) != 0) == filled) return;
  mask ^= bit;
  Rate(index / kLists);
}

/// Of a line that is not empty, how far above the oldest worth its first block's is.
uint32_t EvictionOrder::OldestAbove(uint32_t line) const {
  const Worth oldest = Now(line) - kOldest;
  return static_cast<uint32_t>(
      std::countr_zero(std::rotr(filled_[line], static_cast<int>(oldest % kLists))));
}

uint32_t EvictionOrder::Above(uint32_t line, Worth worth) const {
  const auto above = static_cast<int32_t>(worth - (Now(line) - kOldest));
  return static_cast<uint32_t>(std::clamp(above, 0, static_cast<int32_t>(kOldest + kMost)));
}

int32_t EvictionOrder::Expected(uint32_t line, uint32_t above) const {
  static const auto skips = MakeSkips<kOldest, kMost>();
  return static_cast<int32_t>(line) * kCostScale + static_cast<int32_t>(lines_) * skips[above];
}

int32_t EvictionOrder::Round() const { return static_cast<int32_t>(lines_) * kCostScale; }

int32_t EvictionOrder::Way(uint16_t layer, Worth worth) const {
  const uint32_t line = LineOf(layer), above = Above(line, worth);
  if (line >= lines_) return -static_cast<int32_t>(line * kLists + above);  // as Next has it
  return Expected(line, above) + (line <= line_ ? Round() : 0);
}

void EvictionOrder::Rate(uint32_t line) {
  if (filled_[line] == 0) {
    rates_[line] = kNobody;
    return;
  }
  const auto at = static_cast<int32_t>(line);
  rates_[line] = (Expected(line, OldestAbove(line)) + 1) * static_cast<int32_t>(kLines) - 1 - at;
}

void EvictionOrder::Add(uint32_t slot, uint16_t layer, Worth worth) {
  const uint32_t line = LineOf(layer);
  const Worth oldest = Now(line) - kOldest;
  const uint32_t list = ListOf(line, oldest + Above(line, worth));
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
  if (size_ == 0) return kNoSlot;
  // The way to a line is round the circle of layers, behind the one that is wanted now.
  int32_t passed = kNobody, ahead = kNobody;
  for (uint32_t line = 0; line <= line_; ++line) passed = std::max(passed, rates_[line]);
  for (uint32_t line = line_ + 1; line < lines_; ++line) ahead = std::max(ahead, rates_[line]);
  passed += static_cast<int32_t>(kLines) * Round();
  const int32_t longest = std::max(passed, ahead);
  uint32_t line = kLines - 1 - static_cast<uint32_t>(longest) % kLines;
  if (longest < 0) {  // only blocks of layers that nobody has wanted yet
    line = lines_;
    while (filled_[line] == 0) ++line;
  }
  return links_[ListOf(line, Now(line) - kOldest + OldestAbove(line))].newer;
}

}  // namespace cairn
