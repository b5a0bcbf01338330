// DeviceStep: a session's steps on a device, choice of blocks included: a model that runs there
// hands over rows of each layer in device memory and gets attention in device memory. All of it is
// put on one stream, for which the host waits only at the end of a step, if the blocks that layers
// choose are on the device already.
//
// Where they are not, a layer says so on the device (stopped()), and what follows is in vain: so
// whoever changes something that must not be done twice looks there first. Settle fetches what the
// first such layer lacks, and the step goes on from that layer. From there on each layer is waited
// for, and none is in vain, until a step in which no layer lacks anything.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/device.h"
#include "engine/block_map.h"
#include "engine/device_attend.h"
#include "engine/device_index.h"
#include "engine/device_local_rows.h"
#include "engine/near_keys.h"
#include "engine/options.h"
#include "engine/position_map.h"
#include "engine/resident_blocks.h"
#include "kernels/choice.h"
#include "storage/tiered_store.h"

namespace cairn {

/// Rows of a layer, in device memory: T rows of a step, Hq query heads, Hkv KV heads.
struct DeviceRows {
  const float* q = nullptr;  ///< [T, Hq, D] f32, un-rotated
  const float* k = nullptr;  ///< [T, Hkv, D]
  const float* v = nullptr;  ///< [T, Hkv, D]
  int64_t stride = 0;        ///< elements from one row's q, k and v to the next one's
  float* o = nullptr;        ///< [T, Hq, D], dense
};

/// Keeps buffers between steps; one thread at a time.
class DeviceStep {
 public:
  /// Of a session, all of which must outlive it.
  struct Parts {
    const SessionShape& shape;
    const RopeTable& rope;
    TieredStore& store;  ///< has a device
    DeviceIndex& index;
    const NearKeys& near_keys;
    const BlockMap& blocks;
  };
  static Result<std::unique_ptr<DeviceStep>> Open(const Parts& parts, const LocalRows& local);

  /// Whether steps with these options can be made on a device.
  static bool Takes(const SessionOptions& options);

  /// Begins a step by `plan`, of which the first row stands at `first_position`; `local` has the
  /// unfinished block, unless this does.
  Status Begin(const SessionOptions& options, const StepPlan& plan, int32_t rows,
               int32_t first_position, const LocalRows& local);
  /// Appends a layer's rows, chooses and attends. Layers in ascending order.
  Status Attend(int32_t layer, const DeviceRows& rows);
  /// Waits for all layers. Returns the one to go on from, with what it lacked, or L if the step is
  /// complete. kInvalidArgument if a layer's queries were no numbers.
  Result<int32_t> Settle();
  /// The step's rows are part of the session from here on.
  void End() {
    newer_ = true;
    resident_.Rest();
  }
  /// Waits for what was put on the stream, whatever becomes of it.
  void Abandon();

  /// Brings `rows` local rows back to `local`, if they are newer here, and waits.
  Status BringBack(int32_t rows, LocalRows* local);
  /// The host's unfinished block, or blocks before it, are others from here on.
  void Outdate() {
    current_ = newer_ = false;
    near_begin_ = near_end_ = 0;
  }
  /// Lets go of all blocks, between steps.
  void Release() {
    resident_.GiveBack();
    seen_ = kNone;
  }
  /// Floats of scores that a layer works in at once, from the next step on: where there are more,
  /// KV heads take turns, and then rows that do not choose together.
  void LimitScores(size_t floats) { most_scores_ = floats; }

  DeviceStream& stream() { return stream_; }
  /// On the device: not 0 once a layer lacked blocks, until Settle.
  const int32_t* stopped() const { return At<int32_t>(status_, 0); }
  /// Steps of any session for which this is the same launch the same: what was captured of one
  /// serves another. Of a step whose layers are waited for: 0.
  uint64_t launches() const { return careful_ ? 0 : launches_; }

 private:
  /// Where parts of a buffer begin, in bytes.
  struct Inputs {
    size_t first_row, local, local_counts, fixed_blocks, fixed_slots, bytes;  // positions are first
  };
  struct Work {
    size_t queries, scores, weights, lse, log_weights, chosen, placed, counts, o, part_lse,
        whole_lse, scratch, bytes;
  };
  /// What a step is about, for all layers.
  struct Now {
    StepPlan plan;
    int32_t rows = 0;     // T
    int32_t groups = 0;   // of rows that choose together
    int32_t sampled = 0;  // rows that a choice looks at
    int32_t first_sampled = 0, sample_stride = 1;
    int32_t rows_per_group = 0;  // of a fold: sampled rows and heads
    int32_t per_list = 0;        // blocks of a list
    int32_t far = 0, near = 0;   // candidates
    int32_t heads_at_once = 1;   // scored
    int32_t groups_at_once = 1;  // of one head, if heads are scored one by one
    int32_t local_blocks = 0;
    std::optional<size_t> scan;  // floats that a scan takes; else scores and choices are apart
    Inputs inputs{};
    Work work{};
  };

  DeviceStep(const Parts& parts, DeviceStream stream, DeviceAttend attend, DeviceLocalRows local);
  template <class T>
  static T* At(const DeviceBuffer& buffer, size_t place) {
    return reinterpret_cast<T*>(buffer.data() + place);
  }
  int32_t heads() const { return parts_.shape.kv_heads; }
  Now Plan(const SessionOptions& options, const StepPlan& plan, int32_t rows) const;
  Inputs PlanInputs(const Now& now) const;
  Work PlanWork(const Now& now) const;
  Status MakeRoom();
  Status StageInputs(int32_t first_position);
  Status StageNearKeys();
  void WantInAllLayers(int64_t ordinal);
  Status FetchFixed();
  void NoteLaunches();

  DeviceAttendCall LocalCall(int32_t layer, const DeviceRows& rows) const;
  DeviceAttendCall ChosenCall(const DeviceRows& rows) const;
  Status Choose(int32_t layer, const DeviceRows& rows);
  /// What a scan of a layer's candidates is about, without what the index knows and pointers.
  ScanParams ScanOf(const Now& now, const SampledQueries& queries) const;
  /// Of `count` heads from `head` on; `queries` are those of all.
  Status ScanSome(int32_t layer, int32_t head, int32_t count, SampledQueries queries);
  /// Of `count` heads from `head` on, groups [first_group, first_group + groups): all of them if
  /// these are several heads. `queries` are those of all.
  Status ChooseSome(int32_t layer, int32_t head, int32_t count, int32_t first_group, int32_t groups,
                    SampledQueries queries);
  Status Place(int32_t layer);
  /// Words of status from `layer` on.
  size_t StatusWords(int32_t layer) const;
  size_t StatusBytes() const;
  /// What launches count in, one after the other.
  int32_t* Counts() const {
    return At<int32_t>(status_, StatusWords(parts_.shape.layers) * sizeof(int32_t));
  }
  /// Waits for a layer's choice, and for what it lacks.
  Status Await(int32_t layer);
  int32_t Missing(int32_t layer) const;
  std::span<const int32_t> Ordinals(int32_t layer) const;
  void NoteUses(int32_t layer);
  Status Fetch(int32_t layer);
  Status ClearStatus();

  static constexpr int64_t kNone = INT64_MAX;

  const Parts parts_;
  Device& device_;
  size_t most_scores_ = size_t{64} << 20;
  DeviceAttend attend_;
  DeviceLocalRows local_;
  bool current_ = false;  // local_ has what the host has of the tail
  bool newer_ = false;    // and more
  ResidentBlocks resident_;

  Now now_;
  bool careful_ = true;   // each layer is waited for
  int32_t lacking_ = 0;   // layers of this step that lacked something
  int32_t noted_ = 0;     // layers before it were noted as used
  int64_t seen_ = kNone;  // complete blocks of the step before
  uint64_t launches_ = 0;
  std::vector<int64_t> signature_;         // of the launches
  int64_t near_begin_ = 0, near_end_ = 0;  // of the keys that are there
  std::vector<ResidentBlocks::Block> wanted_;

  PinnedBuffer inputs_, near_staged_, status_back_;
  DeviceBuffer inputs_on_device_, near_, status_, work_;
  DeviceEvent chosen_;   // behind the choice of a layer that is waited for
  DeviceStream stream_;  // goes first, and waits for what uses the rest
};

}  // namespace cairn
