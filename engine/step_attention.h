// StepAttention: one layer's attention in one step. Starts the reads of the chosen blocks, attends
// over the local rows meanwhile, then over what was fetched, and merges the two parts. Blocks that
// were fetched to a device are attended there.
//
// The two parts are always computed apart and merged in the same order, whatever was resident, so
// that results do not depend on memory budgets.
//
// While a layer is computed the store is told what the next one has been choosing all the time, and
// reads ahead what has left memory of that.
#pragma once

#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include "engine/block_map.h"
#include "engine/device_attention.h"
#include "engine/local_rows.h"
#include "engine/options.h"
#include "engine/position_map.h"
#include "engine/selector.h"
#include "engine/steady_blocks.h"
#include "engine/step_log.h"
#include "kernels/attention.h"
#include "storage/tiered_store.h"

namespace cairn {

/// Keeps buffers between calls; one thread at a time. What it refers to must outlive it.
class StepAttention {
 public:
  StepAttention(const SessionShape& shape, const RopeTable& rope, TieredStore& store)
      : shape_(shape), rope_(rope), store_(store), steady_(static_cast<size_t>(shape.layers)) {}

  /// `q` and `o` are [rows, Hq, D]. Local rows of the step are in `local` already.
  Status Run(const StepPlan& plan, int32_t layer, const float* q, int32_t rows,
             const Choice& choice, const LocalRows& local, const BlockMap& blocks, float* o);

  /// From now on Run adds to `log` what it reads (null: stop); `first_row` is the session's row
  /// that the next step begins with.
  void Observe(StepLog* log) { log_ = log; }
  void BeginStep(int64_t first_row) { first_row_ = first_row; }
  /// From row `row` of a step on lse() is to be that of products in f32, also where attention is of
  /// numbers rounded to bf16; what Run gives stays the same bits.
  void WeighFrom(int32_t row) { weigh_from_ = row; }

  /// Of the last Run: log-sum-exp of all that each row and head read, [Hkv, rows, G].
  const float* lse() const { return weighs_ ? weighed_lse_.data() : lse_.data(); }
  /// log of what the candidates weigh that row `row` of the last Run did not read, where they were
  /// scored: [Hq]. Arguments as of that Run. Reads them all: for audits.
  Status WeighUnread(const StepPlan& plan, int32_t layer, const float* q, int32_t rows,
                     const Choice& choice, const BlockMap& blocks, int32_t row, double* lse);

  /// Blocks one fetch asks for at most, with these options.
  static size_t MostBlocksPerFetch(const SessionShape& shape, const SessionOptions& options);

 private:
  struct Call {
    const StepPlan& plan;
    int32_t layer;
    const float* q;
    int32_t rows;
    const Choice& choice;
    const BlockMap& blocks;
    float* o;
  };

  /// Groups of rows whose choices are fetched together.
  int32_t GroupsPerFetch(const Call& call) const;
  void ListBlocks(const Call& call, int32_t first_group, int32_t groups);
  void AttendLocal(const Call& call, const LocalRows& local);
  /// Attends over what was fetched for groups, and merges.
  Status AttendFetched(const Call& call, int32_t first_group, int32_t groups, const Pins& pins);
  void AttendOnHost(const Call& call, int32_t first_row, int32_t rows);
  Status AttendOnDevice(const Call& call, int32_t first_row, int32_t rows);
  /// Merges rows that were fetched into the local ones.
  void MergeFetched(const Call& call, int32_t head, int32_t first_row, int32_t rows);
  int32_t BlocksPerList(const Call& call) const {
    return static_cast<int32_t>(call.plan.fixed.size()) + call.choice.k;
  }
  void AttendRows(const Call& call, int32_t head, int32_t first_row, int32_t rows,
                  std::span<const BlockRef> refs, const BlockShape& shape, float* o, float* lse,
                  bool bf16 = true);
  void BeginWeighing(const Call& call);
  /// Adds what a head's rows read of these blocks to weighed_lse_, for rows from weigh_from_ on.
  void WeighRows(const Call& call, int32_t head, int32_t first_row, int32_t rows,
                 std::span<const BlockRef> refs, const BlockShape& shape);
  /// The blocks listed, for rows that a device has attended.
  Status WeighOnHost(const Call& call, int32_t first_row, int32_t rows);
  /// Rows before weigh_from_ have the lse that they were attended with.
  void EndWeighing(const Call& call);
  Result<Pins> WaitFor(TieredStore::Ticket& ticket);
  /// Where the listed blocks are, before they are asked for.
  void LogTiers();
  /// What was read of the groups just attended, in rows that are to be recorded.
  Status LogGroups(const Call& call, int32_t first_group, int32_t groups);
  void LogHead(const Call& call, int32_t row, int32_t head, int32_t group, size_t first_ref);
  ReadBlock LogBlock(const Call& call, int32_t row, int32_t head, size_t ref, int64_t block);

  const SessionShape& shape_;
  const RopeTable& rope_;
  TieredStore& store_;
  std::vector<int32_t> positions_;              // [rows]
  std::vector<BlockId> ids_;                    // [groups, Hkv, blocks per group]
  std::vector<SteadyBlocks> steady_;            // by layer, of the last rows of its steps
  std::vector<BlockRef> refs_;                  // the same, placed
  std::vector<BlockRef> local_refs_;            // [Hkv, local blocks]
  std::vector<float> lse_;                      // [Hkv, rows, G]
  std::vector<float> fetched_o_;                // [rows, Hq, D]
  std::vector<float> fetched_lse_;              // [Hkv, rows, G]
  std::vector<float> device_lse_;               // [rows, Hq]
  std::unique_ptr<DeviceAttention> on_device_;  // from the first Run on, if the store has a device

  StepLog* log_ = nullptr;
  int64_t first_row_ = 0;
  std::vector<StoreTier> tiers_;  // of ids_, while there is a log
  std::vector<float> part_o_;     // [rows, Hq, D], of one block, or of what is weighed
  std::vector<float> part_lse_;   // [Hkv, rows, G], of the same

  int32_t weigh_from_ = std::numeric_limits<int32_t>::max();
  bool weighs_ = false;             // in the last Run
  std::vector<float> weighed_lse_;  // [Hkv, rows, G]
};

}  // namespace cairn
