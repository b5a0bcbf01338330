// SteadyBlocks: the blocks that a layer has chosen in each of its latest steps.
//
// What was chosen once is a poor guess at what is chosen next and has left memory: such blocks were
// the first to leave. What was chosen step after step and still left is wanted again as a rule.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "storage/block_id.h"

namespace cairn {

class SteadyBlocks {
 public:
  /// Steps in a row after which a block counts as steady.
  static constexpr uint32_t kSteps = 4;

  /// The blocks of one more step, in any order, some perhaps twice.
  void Note(std::span<const BlockId> ids);
  /// Ascending.
  std::span<const BlockId> steady() const { return steady_; }

 private:
  struct Run {
    BlockId id{};
    uint32_t steps = 0;
  };

  std::vector<Run> runs_;  // of the last step's blocks, ascending by id
  std::vector<Run> next_;
  std::vector<BlockId> sorted_;
  std::vector<BlockId> steady_;
};

}  // namespace cairn
