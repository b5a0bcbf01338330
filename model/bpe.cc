#include "model/bpe.h"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <queue>

#include "base/check.h"

namespace cairn {
namespace {

constexpr uint32_t kNone = UINT32_MAX;
/// Up to here a scan for the lowest rank is faster than a heap.
constexpr size_t kShortWord = 48;

}  // namespace

BpeMerges::BpeMerges(size_t count) : slots_(std::bit_ceil(2 * count + 1)) {}

size_t BpeMerges::SlotOf(uint32_t left, uint32_t right) const {
  uint64_t hash = (static_cast<uint64_t>(left) << 32 | right) * 0x9e3779b97f4a7c15u;
  hash = (hash ^ (hash >> 32)) * 0xd6e8feb86659fd93u;
  const size_t mask = slots_.size() - 1;
  size_t slot = static_cast<size_t>(hash >> 32) & mask;
  while (slots_[slot].left != kNone && (slots_[slot].left != left || slots_[slot].right != right)) {
    slot = (slot + 1) & mask;
  }
  return slot;
}

void BpeMerges::Add(uint32_t left, uint32_t right, Merge merge) {
  CAIRN_CHECK(left != kNone && merge.rank != kNone);
  Slot& slot = slots_[SlotOf(left, right)];
  if (slot.left == kNone) slot = Slot{left, right, merge};
}

std::optional<BpeMerges::Merge> BpeMerges::Find(uint32_t left, uint32_t right) const {
  const Slot& slot = slots_[SlotOf(left, right)];
  if (slot.left == kNone) return std::nullopt;
  return slot.merge;
}

uint32_t BpeMerges::RankOf(uint32_t left, uint32_t right) const {
  const Slot& slot = slots_[SlotOf(left, right)];
  return slot.left == kNone ? kNone : slot.merge.rank;
}

void BpeMerges::Apply(std::vector<uint32_t>& word) const {
  if (word.size() < 2) return;
  if (word.size() <= kShortWord) {
    ApplyToShort(word);
  } else {
    ApplyToLong(word);
  }
}

void BpeMerges::ApplyToShort(std::vector<uint32_t>& word) const {
  std::array<uint32_t, kShortWord> ranks;  // ranks[i] is that of word[i] and word[i + 1]
  size_t pairs = word.size() - 1;
  for (size_t i = 0; i < pairs; ++i) ranks[i] = RankOf(word[i], word[i + 1]);
  while (pairs > 0) {
    uint32_t* const end = ranks.data() + pairs;
    uint32_t* const best = std::min_element(ranks.data(), end);
    if (*best == kNone) return;
    const auto i = static_cast<size_t>(best - ranks.data());
    word[i] = Find(word[i], word[i + 1])->merged;
    word.erase(word.begin() + static_cast<ptrdiff_t>(i) + 1);
    std::copy(best + 1, end, best);
    --pairs;
    if (i < pairs) ranks[i] = RankOf(word[i], word[i + 1]);
    if (i > 0) ranks[i - 1] = RankOf(word[i - 1], word[i]);
  }
}

void BpeMerges::ApplyToLong(std::vector<uint32_t>& word) const {
  const size_t size = word.size();
  CAIRN_CHECK(size < (1u << 31));
  struct Links {
    uint32_t before;
    uint32_t after;
  };
  std::vector<Links> links(size);
  // Candidates as rank * 2^32 + position. A pair that has changed since it was queued mostly has
  // another rank now; such entries are skipped. One of the same rank is as good a candidate.
  std::vector<uint64_t> storage;
  storage.reserve(size);
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> queue(std::greater<>(),
                                                                             std::move(storage));
  const auto rank_at = [&](uint32_t i) {
    const uint32_t after = links[i].after;
    return word[i] == kNone || after == kNone ? kNone : RankOf(word[i], word[after]);
  };
  const auto offer = [&](uint32_t i) {
    const uint32_t rank = rank_at(i);
    if (rank != kNone) queue.push(static_cast<uint64_t>(rank) << 32 | i);
  };
  for (uint32_t i = 0; i < size; ++i) {
    links[i] = {i == 0 ? kNone : i - 1, i + 1 == size ? kNone : i + 1};
  }
  for (uint32_t i = 0; i + 1 < size; ++i) offer(i);
  while (!queue.empty()) {
    const uint64_t top = queue.top();
    queue.pop();
    const auto i = static_cast<uint32_t>(top);
    if (rank_at(i) != top >> 32) continue;
    const uint32_t gone = links[i].after;
    word[i] = Find(word[i], word[gone])->merged;
    word[gone] = kNone;
    links[i].after = links[gone].after;
    if (links[i].after != kNone) links[links[i].after].before = i;
    offer(i);
    if (links[i].before != kNone) offer(links[i].before);
  }
  std::erase(word, kNone);
}

}  // namespace cairn
