// StepLog: what rows read of the past, which blocks and how much of each, for those who ask why.
//
// A session fills it while it is observed (Session::Observe). Without one nothing is looked up,
// computed or timed for it. Plain data; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "storage/tiered_store.h"

namespace cairn {

enum class BlockRole : uint8_t {
  kChosen,  ///< by its representatives
  kSink,    ///< always attended: among the first
  kRecent,  ///< always attended: just before the step
};

/// "chosen", "sink" or "recent".
constexpr const char* BlockRoleName(BlockRole role) {
  return role == BlockRole::kChosen ? "chosen" : role == BlockRole::kSink ? "sink" : "recent";
}

/// A block that one row attended in one layer and KV head.
struct ReadBlock {
  int64_t block = 0;  ///< ordinal in the session
  BlockRole role = BlockRole::kChosen;
  StoreTier tier = StoreTier::kHost;  ///< where it was when it was asked for
  float log_weight = 0;  ///< of the choice; NaN if nothing was scored, as all were taken
  float share = 0;       ///< of the row's attention, 0 to 1; mean of the KV head's query heads
  float top_share = 0;   ///< the largest of theirs
};

/// One row, layer and KV head.
struct HeadLog {
  int64_t row = 0;  ///< in the session
  int32_t layer = 0;
  int32_t head = 0;
  float local_share = 0;   ///< of the attention: on rows that are in no block yet
  int64_t runner_up = -1;  ///< the heaviest block that was not chosen; -1: none was scored
  float runner_up_log_weight = 0;
  size_t first = 0;  ///< of its blocks
  size_t count = 0;
};

/// One layer of one step.
struct LayerLog {
  int64_t first_row = 0;
  int32_t rows = 0;
  int32_t layer = 0;
  uint64_t search_ns = 0;  ///< choosing
  uint64_t fetch_ns = 0;   ///< from asking for the first blocks until the last were there
  uint64_t wait_ns = 0;    ///< of it, time in which nothing else was left to do
};

struct StepLog {
  int64_t from_row = 0;  ///< rows before it are not recorded
  std::vector<HeadLog> heads{};
  std::vector<ReadBlock> blocks{};
  std::vector<LayerLog> layers{};

  /// How much is in it; what comes later can be taken back.
  struct Mark {
    size_t heads = 0, blocks = 0, layers = 0;
  };
  Mark mark() const { return {heads.size(), blocks.size(), layers.size()}; }
  void CutTo(const Mark& mark) {
    heads.resize(mark.heads);
    blocks.resize(mark.blocks);
    layers.resize(mark.layers);
  }

  std::span<const ReadBlock> Of(const HeadLog& head) const {
    return {blocks.data() + head.first, head.count};
  }
};

}  // namespace cairn
