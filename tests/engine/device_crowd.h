// Sessions of one engine whose blocks do not all fit on the device.
#pragma once

#include <algorithm>
#include <memory>
#include <string>

#include "engine/step_attention.h"
#include "storage/block_table.h"
#include "storage/slab_pool.h"
#include "tests/engine/device_session.h"

namespace cairn::test {

/// Tiers that hold the blocks of one fetch.
inline EngineOptions TightTiers(const SessionShape& shape, const SessionOptions& options) {
  const uint64_t slot =
      SlabPool::SlotBytes(shape.block.payload_bytes()) + BlockTable::kBytesPerSlot;
  const uint64_t pinned = StepAttention::MostBlocksPerFetch(shape, options);
  EngineOptions tight = OnDevice(pinned * slot);
  tight.host_bytes = (pinned + 1) * slot;
  return tight;
}

/// Sessions of which each takes nearly all of the tightest tier: of its 512 blocks, a layer wants
/// 96.
struct Crowded {
  explicit Crowded(AttentionMode mode)
      : shape(MakeShape(mode, 4, 4, 4, {kBlockRows, 8, DType::kF32})),
        options(OptionsOf(Selection::kPerToken)) {
    options.retrieve = 24;
    engine = MemoryEngine(TightTiers(shape, options));
  }
  std::unique_ptr<Session> Make(const std::string& name) {
    return engine->CreateSession(name, shape, options, "{}").value();
  }

  SessionShape shape;
  SessionOptions options;
  std::unique_ptr<Engine> engine;
};

/// A problem whose rows ask the same from `row` on, so that they choose the same, or nearly.
inline Problem AskingAlike(const SessionShape& shape, int64_t rows, uint64_t stream, int64_t row) {
  Problem problem(shape, rows, stream);
  for (int32_t layer = 0; layer < shape.layers; ++layer) {
    for (int64_t later = row + 1; later < rows; ++later) {
      std::copy_n(problem.Q(layer, row), problem.q_width(),
                  problem.q.data() + (layer * rows + later) * problem.q_width());
    }
  }
  return problem;
}

}  // namespace cairn::test
