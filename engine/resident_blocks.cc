#include "engine/resident_blocks.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "engine/device_buffers.h"
#include "kernels/cuda/choice.h"

namespace cairn {
namespace {

constexpr int64_t kLeastRoom = 64;    // ordinals beyond those there are
constexpr int64_t kShareOfRoom = 8;   // or a share of them
constexpr size_t kShareReleased = 8;  // of what is held, at least, so that it is rare
constexpr size_t kShareLeft = 8;      // of the tier, to others
constexpr size_t kMostAtOnce = 512;   // blocks of a fetch, for which tiers have room

}  // namespace

ResidentBlocks::ResidentBlocks(int32_t partitions, int32_t heads, TieredStore& store)
    : partitions_(partitions),
      heads_(heads),
      store_(store),
      device_(*store.device()),
      slots_(store.top_slots()) {
  store_.holders().Join(*this);
}

void ResidentBlocks::Take() {
  const std::lock_guard lock(mutex_);
  in_use_ = true;
}

void ResidentBlocks::Rest() {
  {
    const std::lock_guard lock(mutex_);
    in_use_ = false;
  }
  store_.holders().Rest(*this);
}

bool ResidentBlocks::GiveBack() {
  const std::lock_guard lock(mutex_);
  if (in_use_ || entries_.empty()) return false;
  LetGo(std::vector<uint8_t>(entries_.size()));
  return true;
}

int64_t ResidentBlocks::CapacityFor(int64_t blocks) {
  return blocks + std::max(kLeastRoom, blocks / kShareOfRoom);
}

Status ResidentBlocks::Reserve(int64_t blocks) {
  if (blocks <= capacity_) return Ok();
  const int64_t capacity = CapacityFor(blocks);
  const auto places = static_cast<size_t>(partitions_ * capacity);
  CAIRN_TRY(table_, device_.Allocate(places * sizeof(uint32_t)));
  capacity_ = capacity;
  entry_of_.assign(places, -1);
  for (size_t i = 0; i < entries_.size(); ++i) {
    entry_of_[PlaceOf(entries_[i].block)] = static_cast<int32_t>(i);
  }
  all_changed_ = true;
  return Ok();
}

bool ResidentBlocks::Keep(const Block& block) {
  const int32_t entry = EntryOf(block);
  if (entry >= 0) entries_[static_cast<size_t>(entry)].turn = turn_;
  return entry >= 0;
}

void ResidentBlocks::Use(std::span<const Block> blocks) {
  used_.clear();
  for (const Block& block : blocks) {
    const int32_t entry = EntryOf(block);
    if (entry < 0) continue;
    entries_[static_cast<size_t>(entry)].turn = turn_;
    used_.push_back(static_cast<uint32_t>(entry));
  }
  store_.Use(pins_, used_);
}

void ResidentBlocks::Release(size_t count) {
  std::vector<int32_t> ways(entries_.size());
  store_.Ways(pins_, ways);
  // By the way, and of equal ones by the turn.
  using Rank = std::pair<int32_t, uint64_t>;
  const auto rank = [&](size_t i) { return Rank(ways[i], turn_ - entries_[i].turn); };
  std::vector<Rank> ranks;
  for (size_t i = 0; i < entries_.size(); ++i) {
    if (entries_[i].turn < turn_) ranks.push_back(rank(i));
  }
  count = std::min(ranks.size(), std::max(count, entries_.size() / kShareReleased));
  if (count == 0) return;
  const auto last = ranks.begin() + static_cast<int64_t>(count) - 1;
  std::nth_element(ranks.begin(), last, ranks.end(), std::greater<>());
  std::vector<uint8_t> keep(entries_.size());
  for (size_t i = 0; i < entries_.size(); ++i) {
    keep[i] = entries_[i].turn == turn_ || rank(i) < *last ? 1 : 0;
  }
  LetGo(keep);
}

void ResidentBlocks::LetGo(std::span<const uint8_t> keep) {
  size_t kept = 0;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const size_t place = PlaceOf(entries_[i].block);
    entry_of_[place] = keep[i] != 0 ? static_cast<int32_t>(kept) : -1;
    if (keep[i] == 0) {
      changed_.push_back(static_cast<int64_t>(place));
    } else {
      entries_[kept++] = entries_[i];
    }
  }
  entries_.resize(kept);
  pins_.Filter(keep);
}

Status ResidentBlocks::Update(DeviceStream& stream) {
  CAIRN_TRY(store_.OrderAfterCopies(stream));
  if (all_changed_) {
    changed_.clear();
    for (const Entry& entry : entries_) {
      changed_.push_back(static_cast<int64_t>(PlaceOf(entry.block)));
    }
    CAIRN_TRY(stream.Fill(table_.data(), 0xff, table_.bytes()));
  }
  std::sort(changed_.begin(), changed_.end());
  changed_.erase(std::unique(changed_.begin(), changed_.end()), changed_.end());
  const size_t count = changed_.size();
  if (count > 0) {
    const size_t bytes = count * (sizeof(int64_t) + sizeof(uint32_t));
    CAIRN_TRY(Grow(&staged_, bytes, device_));
    CAIRN_TRY(Grow(&staged_on_device_, bytes, device_));
    std::copy(changed_.begin(), changed_.end(), reinterpret_cast<int64_t*>(staged_.data()));
    auto* value = reinterpret_cast<uint32_t*>(staged_.data() + count * sizeof(int64_t));
    for (const int64_t place : changed_) {
      const int32_t entry = entry_of_[static_cast<size_t>(place)];
      const std::byte* payload = entry < 0 ? nullptr : pins_.payloads()[static_cast<size_t>(entry)];
      *value++ = entry < 0 ? kAbsent
                           : static_cast<uint32_t>(static_cast<size_t>(payload - slots_.first) /
                                                   slots_.slot_bytes);
    }
    CAIRN_TRY(stream.CopyToDevice(staged_on_device_.data(), staged_.data(), bytes));
    CAIRN_TRY(cuda::UpdateTable(
        static_cast<int32_t>(count), reinterpret_cast<const int64_t*>(staged_on_device_.data()),
        reinterpret_cast<const uint32_t*>(staged_on_device_.data() + count * sizeof(int64_t)),
        reinterpret_cast<uint32_t*>(table_.data()), stream.get()));
  }
  all_changed_ = false;
  changed_.clear();
  return Ok();
}

Status ResidentBlocks::Fetch(std::span<const Block> wanted, const BlockMap& blocks,
                             DeviceStream& stream) {
  std::vector<Block> missing;
  for (const Block& block : wanted) {
    if (!Keep(block)) missing.push_back(block);
  }
  std::ranges::sort(missing, {}, [this](const Block& block) { return PlaceOf(block); });
  missing.erase(std::unique(missing.begin(), missing.end()), missing.end());
  const size_t need = missing.size();
  if (need == 0) return Update(stream);
  const size_t room = need + slots_.count / kShareLeft;
  while (available() < room && store_.holders().GiveBack()) {  // before anything goes from here
  }
  if (const size_t has = available(); has < room) Release(room - has);
  std::vector<BlockId> ids;
  for (const Block& block : missing) {
    ids.push_back(blocks.Id(block.ordinal, block.partition / heads_, block.partition % heads_));
  }
  Pins pins;
  for (size_t first = 0; first < need; first += kMostAtOnce) {
    const size_t count = std::min(kMostAtOnce, need - first);
    auto some = store_.Fetch(std::span(ids).subspan(first, count));
    if (!some) {
      CAIRN_TRY(Update(stream));
      return some.as_failure();
    }
    pins.Append(std::move(some).value());
  }
  for (const Block& block : missing) {
    const size_t place = PlaceOf(block);
    entry_of_[place] = static_cast<int32_t>(entries_.size());
    changed_.push_back(static_cast<int64_t>(place));
    entries_.push_back({block, turn_});
  }
  pins_.Append(std::move(pins));
  return Update(stream);
}

}  // namespace cairn
