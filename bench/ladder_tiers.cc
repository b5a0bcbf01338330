#include "bench/ladder_tiers.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <random>
#include <utility>
#include <vector>

#include "base/byte_size.h"
#include "storage/tiered_store.h"

namespace cairn {
namespace {

constexpr uint64_t kMemorySetBytes = 32 * kMiB;  // of blocks that a case wants in memory
constexpr uint32_t kSpareSlots = 64;
constexpr double kZipfExponent = 0.99;
constexpr size_t kZipfDraws = 1 << 18;
constexpr int kZipfComputePercent = 5, kZipfHostPercent = 20;

uint64_t SlotBytes(uint64_t block_bytes) { return block_bytes + 64 + 96; }

/// How a case divides the blocks of a store, and gives tiers their sizes.
struct Placement {
  uint32_t hot = 0;            ///< blocks [0, hot) are kept in the fastest tier
  uint32_t warm = 0;           ///< the next ones are kept in host memory
  uint32_t compute_slots = 0;  ///< 0: no compute slab
  uint32_t host_slots = 0;
};

/// What all fetches have: tiers, made for one turn, and counts of who served what.
class TierCase : public LadderCase {
 public:
  TierCase(LadderKey key, uint64_t operation_bytes, bool cold, LadderStore& store,
           const Placement& placement, Device* device = nullptr)
      : LadderCase(std::move(key), operation_bytes, cold),
        store_(store),
        placement_(placement),
        device_(device) {}

  /// What the fastest tier did not have has moved into it.
  void Note(LadderTurn& turn) override {
    const std::vector<TierReport> after = tiers_->Report();
    turn.served_blocks.assign(3, 0);
    const size_t first = 3 - after.size();  // without a compute slab the first one is the host's
    for (size_t i = 0; i < after.size(); ++i) {
      turn.served_blocks[first + i] = after[i].hit_blocks - before_[i].hit_blocks;
    }
    const uint64_t asked = after[0].fetched_blocks - before_[0].fetched_blocks;
    const uint64_t moved = asked - turn.served_blocks[first];
    if (operation_bytes() > 0) turn.payload_bytes = moved * store_.block_bytes();
  }
  void Finish() override { tiers_.reset(); }

 protected:
  Status OpenTiers() {
    TieredStoreOptions options;
    options.payload_bytes = store_.block_bytes();
    const uint64_t slot_bytes = SlotBytes(store_.block_bytes());
    options.host_bytes = placement_.host_slots * slot_bytes;
    options.compute_bytes = placement_.compute_slots * slot_bytes;
    options.device = device_;
    CAIRN_TRY(tiers_, TieredStore::Open(options, store_.cold()));
    return Ok();
  }
  /// Fetches all of `ids` in pieces that fit.
  Status Load(std::span<const BlockId> ids) {
    const size_t piece = std::min<size_t>(16, placement_.host_slots / 4);
    for (size_t at = 0; at < ids.size(); at += piece) {
      CAIRN_TRY(const Pins pins, tiers_->Fetch(ids.subspan(at, std::min(piece, ids.size() - at))));
    }
    return Ok();
  }
  void StartCounting() { before_ = tiers_->Report(); }

  LadderStore& store_;
  const Placement placement_;
  Device* const device_;  // null: the compute tier is a slab of the host's
  std::unique_ptr<TieredStore> tiers_;

 private:
  std::vector<TierReport> before_;
};

uint32_t InFlight(const LadderKey& key) { return key.batch * static_cast<uint32_t>(key.readers); }

/// Blocks to keep in memory: enough to be no cache's favourites, and more than are in flight.
uint32_t MemorySet(const LadderKey& key, const LadderStore& store) {
  const auto by_bytes = static_cast<uint32_t>(kMemorySetBytes / store.block_bytes());
  return std::min(std::max(by_bytes, 8 * InFlight(key)), store.blocks() / 3);
}

class MixedFetch final : public TierCase {
 public:
  MixedFetch(LadderKey key, LadderStore& store, const HitMix& mix, Device* device = nullptr)
      : TierCase(key, Moved(key, mix), mix.ssd == 100, store, PlacementOf(key, store, mix), device),
        hot_blocks_(Share(key, mix.compute)),
        warm_blocks_(mix.ssd == 0 ? key.batch - hot_blocks_ : Share(key, mix.host)),
        hot_(store.Shuffled(0, placement_.hot, 1), key.readers),
        warm_(store.Shuffled(placement_.hot, placement_.warm, 2), key.readers),
        cold_(store.Shuffled(placement_.hot + placement_.warm, store.blocks(), 3), key.readers),
        ids_(static_cast<size_t>(key.readers)) {}

  Status Prepare() override {
    CAIRN_TRY(OpenTiers());
    streams_.clear();
    for (int reader = 0; device_ != nullptr && reader < key().readers; ++reader) {
      CAIRN_TRY(auto stream, device_->MakeStream());
      streams_.push_back(std::move(stream));
    }
    // The slots of what comes from the SSD are touched once too.
    const auto& cold = cold_.order();
    const size_t fresh = placement_.host_slots - placement_.hot - placement_.warm;
    CAIRN_TRY(Load(std::span(cold).last(std::min(cold.size(), fresh))));
    for (int turn = 0; turn < 2; ++turn) {
      CAIRN_TRY(Load(warm_.order()));
      CAIRN_TRY(Load(hot_.order()));
    }
    for (int i = 0; i < 4; ++i) {
      for (int reader = 0; reader < key().readers; ++reader) CAIRN_TRY(Run(reader, 1));
    }
    StartCounting();
    return Ok();
  }

  Status Run(int reader, uint64_t count) override {
    for (; count > 0; --count) {
      if (hot_blocks_ == key().batch) {
        CAIRN_TRY(const Pins pins, tiers_->Fetch(hot_.Next(reader, hot_blocks_)));
        continue;
      }
      std::vector<BlockId>& ids = ids_[static_cast<size_t>(reader)];
      ids.clear();
      const auto add = [&](Walk<BlockId>& walk, uint32_t blocks) {
        if (blocks == 0) return;
        const auto next = walk.Next(reader, blocks);
        ids.insert(ids.end(), next.begin(), next.end());
      };
      add(hot_, hot_blocks_);
      add(warm_, warm_blocks_);
      add(cold_, key().batch - hot_blocks_ - warm_blocks_);
      CAIRN_TRY(const Pins pins, tiers_->Fetch(ids));
      if (device_ == nullptr) continue;
      DeviceStream& stream = streams_[static_cast<size_t>(reader)];
      CAIRN_TRY(tiers_->OrderAfterCopies(stream));
      CAIRN_TRY(stream.Wait());
    }
    return Ok();
  }

 private:
  static uint32_t Share(const LadderKey& key, int percent) {
    return key.batch * static_cast<uint32_t>(percent) / 100;
  }
  static uint64_t Moved(const LadderKey& key, const HitMix& mix) {
    return mix.compute == 100 ? 0 : (key.batch - Share(key, mix.compute)) * key.block_bytes;
  }
  static Placement PlacementOf(const LadderKey& key, const LadderStore& store, const HitMix& mix) {
    Placement placement;
    const uint32_t set = MemorySet(key, store);
    // In a mix the slab's blocks must come again much sooner than the others, or the slab would
    // keep those as well.
    placement.hot = mix.compute == 100 ? set : mix.compute > 0 ? 4 * InFlight(key) : 0;
    placement.warm = mix.host > 0 ? set : 0;
    placement.compute_slots = placement.hot + InFlight(key) + 16;
    placement.host_slots = placement.hot + placement.warm + 2 * InFlight(key) + kSpareSlots;
    return placement;
  }

  const uint32_t hot_blocks_, warm_blocks_;  // of a batch
  Walk<BlockId> hot_, warm_, cold_;
  std::vector<std::vector<BlockId>> ids_;  // by reader
  std::vector<DeviceStream> streams_;      // by reader, with a device
};

class ZipfFetch final : public TierCase {
 public:
  ZipfFetch(LadderKey key, LadderStore& store)
      : TierCase(key, key.batch * key.block_bytes, false, store, PlacementOf(key, store)),
        draws_(Draws(store), key.readers) {}

  Status Prepare() override {
    CAIRN_TRY(OpenTiers());
    std::vector<BlockId> ids;  // the rarest first
    for (uint32_t i = placement_.host_slots; i > 0; --i) ids.push_back(store_.IdOf(i - 1));
    CAIRN_TRY(Load(ids));
    draws_.Restart();
    for (int i = 0; i < 32; ++i) {
      for (int reader = 0; reader < key().readers; ++reader) CAIRN_TRY(Run(reader, 1));
    }
    StartCounting();
    return Ok();
  }

  Status Run(int reader, uint64_t count) override {
    for (; count > 0; --count) {
      CAIRN_TRY(const Pins pins, tiers_->Fetch(draws_.Next(reader, key().batch)));
    }
    return Ok();
  }

 private:
  static Placement PlacementOf(const LadderKey& key, const LadderStore& store) {
    Placement placement;
    const uint32_t least = 2 * InFlight(key) + kSpareSlots;
    placement.compute_slots =
        std::max(store.blocks() * kZipfComputePercent / 100, InFlight(key) + 16);
    placement.host_slots =
        std::min(std::max(store.blocks() * kZipfHostPercent / 100, least), store.blocks());
    return placement;
  }
  static std::vector<BlockId> Draws(const LadderStore& store) {
    std::vector<BlockId> ids;
    for (const uint32_t rank : ZipfDraws(store.blocks(), kZipfExponent, kZipfDraws, 1)) {
      ids.push_back(store.IdOf(rank));
    }
    return ids;
  }

  Walk<BlockId> draws_;
};

/// Without a compute slab.
class PlainFetch final : public TierCase {
 public:
  PlainFetch(LadderKey key, LadderStore& store, bool resident)
      : TierCase(key, resident ? 0 : key.batch * key.block_bytes, !resident, store,
                 PlacementOf(key, store, resident)),
        walk_(store.Shuffled(0, resident ? placement_.hot : store.blocks(), 4), key.readers) {}

  Status Prepare() override {
    CAIRN_TRY(OpenTiers());
    const auto& order = walk_.order();
    // Where all comes from the SSD, each slot is touched once, by blocks that come last.
    const size_t load =
        placement_.hot > 0 ? order.size() : std::min<size_t>(order.size(), placement_.host_slots);
    CAIRN_TRY(Load(std::span(order).last(load)));
    StartCounting();
    return Ok();
  }

  Status Run(int reader, uint64_t count) override {
    for (; count > 0; --count) {
      CAIRN_TRY(const Pins pins, tiers_->Fetch(walk_.Next(reader, key().batch)));
    }
    return Ok();
  }

 private:
  static Placement PlacementOf(const LadderKey& key, const LadderStore& store, bool resident) {
    Placement placement;
    placement.hot = resident ? MemorySet(key, store) : 0;
    placement.host_slots = placement.hot + 2 * InFlight(key) + kSpareSlots;
    return placement;
  }

  Walk<BlockId> walk_;
};

class PageCacheFetch final : public LadderCase {
 public:
  PageCacheFetch(LadderKey key, const LadderFile& file)
      : LadderCase(key, key.batch * key.block_bytes),
        file_(file),
        walk_(Order(key, file), key.readers) {}

  Status Prepare() override {
    for (int i = 0; i < key().readers; ++i) targets_.emplace_back(operation_bytes(), 1);
    return file_.Cache(CachedBytes(key(), file_));
  }

  Status Run(int reader, uint64_t count) override {
    std::byte* const target = targets_[static_cast<size_t>(reader)].data();
    for (; count > 0; --count) {
      size_t at = 0;
      for (const uint32_t block : walk_.Next(reader, key().batch)) {
        const uint64_t bytes = key().block_bytes;
        if (pread(file_.cached_fd(), target + at, bytes, static_cast<off_t>(block * bytes)) !=
            static_cast<ssize_t>(bytes)) {
          return Fail(Errc::kIo, "cannot read {}: {}", file_.path(), std::strerror(errno));
        }
        at += bytes;
      }
    }
    return Ok();
  }

  void Finish() override { targets_.clear(); }

 private:
  static uint64_t CachedBytes(const LadderKey& key, const LadderFile& file) {
    const uint64_t set = std::max<uint64_t>(kMemorySetBytes, 2 * InFlight(key) * key.block_bytes);
    return std::min(file.bytes(), set);
  }
  static std::vector<uint32_t> Order(const LadderKey& key, const LadderFile& file) {
    return ShuffledOrder(static_cast<uint32_t>(CachedBytes(key, file) / key.block_bytes), 5);
  }

  const LadderFile& file_;
  Walk<uint32_t> walk_;
  std::vector<RandomBytes> targets_;  // by reader
};

}  // namespace

std::string HitMix::Name() const { return fmt::format("{}/{}/{}", compute, host, ssd); }

std::vector<uint32_t> ZipfDraws(uint32_t count, double exponent, size_t draws, uint64_t seed) {
  std::vector<double> sums(std::max(count, 1u));
  double sum = 0;
  for (uint32_t rank = 0; rank < sums.size(); ++rank) {
    sum += std::pow(rank + 1.0, -exponent);
    sums[rank] = sum;
  }
  std::mt19937_64 random(seed);
  std::vector<uint32_t> drawn(draws);
  for (uint32_t& rank : drawn) {
    const double at = static_cast<double>(random() >> 11) * 0x1.0p-53 * sum;
    rank = static_cast<uint32_t>(std::ranges::upper_bound(sums, at) - sums.begin());
    rank = std::min(rank, static_cast<uint32_t>(sums.size()) - 1);
  }
  return drawn;
}

std::unique_ptr<LadderCase> MakeMixedFetch(LadderKey key, LadderStore& store, const HitMix& mix) {
  return std::make_unique<MixedFetch>(std::move(key), store, mix);
}

std::unique_ptr<LadderCase> MakeDeviceFetch(LadderKey key, LadderStore& store, const HitMix& mix,
                                            Device& device) {
  return std::make_unique<MixedFetch>(std::move(key), store, mix, &device);
}

std::unique_ptr<LadderCase> MakeZipfFetch(LadderKey key, LadderStore& store) {
  return std::make_unique<ZipfFetch>(std::move(key), store);
}

std::unique_ptr<LadderCase> MakeHostFetch(LadderKey key, LadderStore& store) {
  return std::make_unique<PlainFetch>(std::move(key), store, true);
}

std::unique_ptr<LadderCase> MakeSsdFetch(LadderKey key, LadderStore& store) {
  return std::make_unique<PlainFetch>(std::move(key), store, false);
}

std::unique_ptr<LadderCase> MakePageCacheFetch(LadderKey key, const LadderFile& file) {
  return std::make_unique<PageCacheFetch>(std::move(key), file);
}

}  // namespace cairn
