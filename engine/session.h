// Session: one sequence and its past. A model runs it layer by layer:
//
//   BeginStep(rows); for each layer: Attend(layer, q, k, v, o); EndStep(); AddTokens(ids);
//   ... Commit(properties);
//
// A step that fails half-way is undone on all layers by AbortStep. What is not committed is
// scratch: Revert drops it, and so does closing the session. One control thread; blocks live in the
// engine's TieredStore, which must outlive the session.
//
// A session writes to an extent that it took when it first sealed a block after opening or a
// Revert, and only behind what it has committed there. So forks may share its committed blocks,
// while it is open too: neither it nor they ever write to ordinals that another session covers.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "engine/block_map.h"
#include "engine/certificate.h"
#include "engine/device_step.h"
#include "engine/key_bounds.h"
#include "engine/local_rows.h"
#include "engine/near_keys.h"
#include "engine/options.h"
#include "engine/position_map.h"
#include "engine/selector.h"
#include "engine/step_attention.h"
#include "engine/step_counts.h"
#include "index/landmark_index.h"
#include "storage/session_catalog.h"
#include "storage/tiered_store.h"

namespace cairn {

class Session {
 public:
  /// Use Engine::CreateSession or OpenSession. Loads tail and representatives, not payloads. While
  /// it lives `open` counts it.
  static Result<std::unique_ptr<Session>> Load(const SessionShape& shape,
                                               const SessionOptions& options, TieredStore& store,
                                               SessionCatalog& catalog, StepCounts& steps,
                                               std::atomic<int32_t>& open, SessionRecord record);
  ~Session();

  /// Freezes what the step may see: blocks complete now are memory, its positions are fixed.
  /// kInvalidArgument if `rows` is not in [1, max_step_rows] or reaches past the context.
  Status BeginStep(int32_t rows);
  /// Whether BeginStepOnDevice can be called: representatives and blocks are on a device, and
  /// nobody wants to know what steps read or miss.
  bool StepsOnDevice() const;
  /// As BeginStep, but layers are attended by what is returned, in device memory, and not by
  /// Attend. It is the session's, for this step. Call its Settle until all layers are complete.
  Result<DeviceStep*> BeginStepOnDevice(int32_t rows);
  /// Appends the step's keys and values to `layer` and attends. `q`, `o`: [rows, Hq, D]; `k`, `v`:
  /// [rows, Hkv, D]; dense f32, un-rotated. Layers in any order, each once a step.
  Status Attend(int32_t layer, const float* q, const float* k, const float* v, float* o);
  /// Seals the blocks the step completed. On an error the step is still open: abort it.
  Status EndStep();
  /// Undoes an open step on all layers; nothing else changes.
  void AbortStep();

  /// Tokens the finished steps stood for (landmark rows are none).
  void AddTokens(std::span<const uint32_t> tokens);
  /// Makes everything so far durable in one atomic step over all layers, with `properties` of the
  /// caller. On an error the session on disk is what it was at the last commit, or what this one
  /// made it if only the answer got lost: opening it again tells.
  Status Commit(const std::string& properties);
  /// Returns to the last commit, also while the disk fails: blocks that cannot be dropped then are
  /// before anything else is sealed or committed.
  Status Revert();
  /// For a session loaded as it was before its last commit: the next commit takes the place of that
  /// one. `tokens` are all that the session has now.
  void ReplaceLastCommit(std::vector<uint32_t> tokens) { replacing_ = std::move(tokens); }

  /// All its tokens, those that are not committed included.
  Result<std::vector<uint32_t>> ReadTokens() const;

  int64_t rows() const { return rows_; }
  int64_t tokens() const { return tokens_; }
  int64_t committed_tokens() const { return static_cast<int64_t>(record_.tokens); }
  const SessionRecord& record() const { return record_; }
  /// The caller's properties at the last commit.
  const std::string& properties() const { return properties_; }
  const SessionShape& shape() const { return shape_; }
  const SessionOptions& options() const { return options_; }
  /// What is read from now on is to be committed: the next step does first what opening left of the
  /// index, as a step of many rows does anyway. Then steps are those of a session that was never
  /// closed, also where the index finds blocks by estimates.
  void SettleFirst() { settles_first_ = true; }
  /// Changes how the past is used from the next step on.
  Status SetOptions(const SessionOptions& options);

  /// Blocks chosen by the last Attend; steps on a device keep theirs there.
  const Choice& last_choice() const { return choice_; }
  /// From now on each Attend adds to `log` what it reads of the past (null: stop). Results stay the
  /// same bits.
  void Observe(StepLog* log);
  /// From now on each Attend adds to `log` what its rows may have missed (null: stop). Results stay
  /// the same bits. The first step that is certified, or has a mass target, reads every block of
  /// which no key bounds are stored.
  void Certify(MassLog* log) { mass_log_ = log; }
  uint64_t index_bytes() const { return index_->memory_bytes(); }
  std::string_view index_name() const { return index_->name(); }

 private:
  Session(const SessionShape& shape, const SessionOptions& options, TieredStore& store,
          SessionCatalog& catalog, StepCounts& steps, std::atomic<int32_t>& open,
          SessionRecord record, std::unique_ptr<LandmarkIndex> index);
  Status LoadPast();
  Status LoadRepresentatives(int32_t layer);
  /// Makes the rotations of [0, reach) and of a block behind.
  void ReservePositions(int64_t reach);
  /// Plans a step.
  Status Plan(int32_t rows);
  /// Lets go of blocks that a device holds.
  void ReleaseDevice();
  int32_t FirstPosition(const StepPlan& plan) const {
    return plan.local_slot * shape_.block.block_rows + plan.tail_rows;
  }
  /// Chooses by `plan` and attends.
  Status ReadPast(const SessionOptions& options, const StepPlan& plan, int32_t layer,
                  const float* q, float* o);

  bool certifies() const { return mass_log_ != nullptr || options_.mass_target > 0; }
  /// The first row of the open step that the mass log takes.
  int32_t FirstLogged() const;
  /// The first row of the open step that is measured, for the log or for a mass target.
  int32_t FirstMeasured() const;
  bool keeps_sketches() const {
    return options_.keep_sketches && shape_.mode == AttentionMode::kUnmodified;
  }
  Status LoadBounds();
  Status LoadBounds(int32_t layer, KeyBounds& bounds);
  /// Reads the blocks of one layer from `first` on, before `end`.
  Status ReadBounds(int32_t layer, int64_t first, int64_t end, KeyBounds& bounds);
  void AddBounds(int32_t complete);
  /// Chosen blocks that the open step has slots for without reaching past the context.
  int32_t Room() const;
  /// Whether the rows just measured miss the target.
  bool MissesTooMuch() const;
  /// Measures what was just read in the open step's layer, and reads again, and more, where options
  /// say so; `before`: where the log stood.
  Status CertifyRead(int32_t layer, const float* q, const StepLog::Mark& before, float* o);
  /// Rows [first_logged, step_rows_) of what was measured from row `first` on, to the log.
  Status LogMissed(const StepPlan& plan, int32_t layer, const float* q, int32_t first,
                   int32_t first_logged);

  Status SealBlocks(int32_t complete);
  Status DropDoomed();
  Status AddRepresentatives(int32_t complete);
  /// Adds summaries of the blocks sealed last to a section of the next commit.
  void Extend(SummarySection& section, uint16_t type, int32_t layer, int32_t blocks,
              const std::string& bytes) const;
  void ChainPayloads(int32_t complete);
  /// Adds packed summaries of `count` blocks to the layer's partitions; for several layers at once,
  /// each with a `scratch` of its own.
  Status AddSummaries(int32_t layer, int64_t count, const char* bytes, bool loaded,
                      std::vector<float>& scratch);
  /// The caller's part, the shape and the chain, as they are stored.
  std::string StoredProperties(const std::string& properties) const;

  SessionShape shape_;
  SessionOptions options_;
  TieredStore& store_;
  SessionCatalog& catalog_;
  StepCounts& steps_;  // of the engine
  std::atomic<int32_t>& open_;
  SessionRecord record_;    // as of the last commit
  std::string properties_;  // as of the last commit
  std::string committed_chain_;
  std::string committed_tail_;
  BlockMap committed_blocks_;

  RopeTable rope_;
  std::unique_ptr<LandmarkIndex> index_;
  NearKeys near_keys_;
  LocalRows local_;
  Selector selector_;
  StepAttention attention_;

  int64_t rows_ = 0;
  int64_t tokens_ = 0;
  BlockMap blocks_;
  std::string chain_;
  uint64_t extent_ = 0;            // that this run writes; 0: none yet
  uint32_t extent_blocks_ = 0;     // blocks sealed into it
  uint32_t extent_committed_ = 0;  // of them, those that a commit covers, failed ones included
  // Blocks that nobody wants any more, of extent_ or one of before; extent 0: none. There is never
  // more than one such: no other extent is taken before they are dropped.
  struct {
    uint64_t extent = 0;
    uint32_t from = 0;
  } doomed_;
  std::vector<uint32_t> new_tokens_;
  std::optional<std::vector<uint32_t>> replacing_;  // tokens before new_tokens_ in the next commit
  std::vector<SummarySection> new_sections_;  // one per layer, growing; then those of sketches

  DeviceIndex* device_index_ = nullptr;    // index_, if it is one
  std::unique_ptr<DeviceStep> on_device_;  // once a step was made there
  bool fits_device_ = true;                // as far as was tried
  bool step_on_device_ = false;            // the open step is

  int32_t step_rows_ = 0;      // 0: no step is open
  int64_t few_row_steps_ = 0;  // since it was opened
  bool settles_first_ = false;
  StepPlan plan_;
  Choice choice_;
  StepLog* log_ = nullptr;

  std::unique_ptr<KeyBounds> bounds_;  // once it was needed
  Certifier certifier_;
  MassLog* mass_log_ = nullptr;
};

/// The digest of a committed session: its shape, payloads, tokens and tail in session order, and
/// `more` (what the caller wants covered too: model, options). Equal for equal content, whatever
/// extents hold it.
Result<std::string> SessionDigest(const SessionCatalog& catalog, const SessionRecord& record,
                                  std::string_view more);

}  // namespace cairn
