#include "engine/step_attention.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>

#include "base/parallel.h"
#include "kernels/softmax_state.h"

namespace cairn {
namespace {

constexpr int32_t kRowsPerTask = 64;
constexpr size_t kBlocksPerFetch = 512;  // beyond this, rows that choose apart are fetched apart

// Scratch of the calling thread, aligned for vectors. Kept between calls: page faults cost more
// than the arithmetic.
float* Scratch(size_t floats) {
  thread_local std::vector<float> memory;
  constexpr size_t kSlack = 16;
  if (memory.size() < floats + kSlack) memory.resize(floats + kSlack);
  const auto address = reinterpret_cast<uintptr_t>(memory.data());
  return reinterpret_cast<float*>((address + 63) / 64 * 64);
}

/// Times fetches into the last layer of a log; does nothing without one.
class FetchClock {
 public:
  explicit FetchClock(StepLog* log) : log_(log) {}
  void Start() { started_ = Now(); }
  void Wait() { waiting_ = Now(); }
  void Stop() {
    if (log_ == nullptr) return;
    const Clock::time_point now = Now();
    log_->layers.back().fetch_ns += Nanoseconds(now - started_);
    log_->layers.back().wait_ns += Nanoseconds(now - waiting_);
  }

 private:
  using Clock = std::chrono::steady_clock;
  static uint64_t Nanoseconds(Clock::duration passed) {
    return static_cast<uint64_t>(
        std::chrono::duration_cast<std::chrono::nanoseconds>(passed).count());
  }
  Clock::time_point Now() const { return log_ == nullptr ? Clock::time_point() : Clock::now(); }

  StepLog* log_;
  Clock::time_point started_, waiting_;
};

}  // namespace

size_t StepAttention::MostBlocksPerFetch(const SessionShape& shape, const SessionOptions& options) {
  const int32_t rows = shape.block.block_rows;
  const bool landmark = shape.mode == AttentionMode::kLandmark;
  const size_t fixed =
      landmark ? 0 : static_cast<size_t>(options.sinks + (options.recent_tokens + rows - 1) / rows);
  const auto chosen = static_cast<size_t>(
      options.mass_target > 0 ? std::max(options.retrieve, SessionOptions::kMostAimed)
                              : options.retrieve);
  const size_t group = static_cast<size_t>(shape.kv_heads) * (chosen + fixed);
  return std::max(group, kBlocksPerFetch);
}

int32_t StepAttention::GroupsPerFetch(const Call& call) const {
  const size_t group =
      static_cast<size_t>(shape_.kv_heads) * (call.plan.fixed.size() + call.choice.k);
  const size_t fit = group == 0 ? call.choice.groups : std::max<size_t>(1, kBlocksPerFetch / group);
  return static_cast<int32_t>(std::min<size_t>(fit, call.choice.groups));
}

void StepAttention::ListBlocks(const Call& call, int32_t first_group, int32_t groups) {
  ids_.clear();
  refs_.clear();
  const auto add = [&](int64_t block, int32_t slot, int32_t head) {
    ids_.push_back(call.blocks.Id(block, call.layer, head));
    refs_.push_back({nullptr, slot * shape_.block.block_rows, shape_.block.block_rows});
  };
  for (int32_t group = first_group; group < first_group + groups; ++group) {
    for (int32_t head = 0; head < shape_.kv_heads; ++head) {
      const size_t begin = refs_.size();
      for (const PlacedBlock& placed : call.plan.fixed) add(placed.block, placed.slot, head);
      const auto chosen = call.choice.Of(head, group);
      for (int32_t rank = 0; rank < call.choice.k; ++rank) {
        add(chosen[rank], call.plan.ChosenSlot(rank, chosen[rank]), head);
      }
      // Sinks, chosen, recent: ascending positions.
      const auto sinks = static_cast<int64_t>(
          std::count_if(call.plan.fixed.begin(), call.plan.fixed.end(),
                        [&](const PlacedBlock& p) { return p.slot < call.plan.first_slot; }));
      const auto fixed = static_cast<int64_t>(call.plan.fixed.size());
      const auto from = static_cast<int64_t>(begin);
      std::rotate(refs_.begin() + from + sinks, refs_.begin() + from + fixed, refs_.end());
      std::rotate(ids_.begin() + from + sinks, ids_.begin() + from + fixed, ids_.end());
    }
  }
}

void StepAttention::AttendRows(const Call& call, int32_t head, int32_t first_row, int32_t rows,
                               std::span<const BlockRef> refs, const BlockShape& shape, float* o,
                               float* lse, bool bf16) {
  const int32_t dim = shape_.block.head_dim, group = shape_.group();
  const int64_t stride = static_cast<int64_t>(shape_.query_heads) * dim;
  const int64_t offset = first_row * stride + static_cast<int64_t>(head) * group * dim;
  AttendParams params;
  params.shape = shape;
  params.mode =
      shape_.mode == AttentionMode::kLandmark ? SoftmaxMode::kGrouped : SoftmaxMode::kPlain;
  params.scale = shape_.scale > 0 ? shape_.scale : 1.0f / std::sqrt(static_cast<float>(dim));
  params.bf16 = bf16;
  params.rope = &rope_;
  params.rows = rows;
  params.group = group;
  params.q = call.q + offset;
  params.q_row_stride = stride;
  params.q_positions = positions_.data() + first_row;
  params.blocks = refs;
  params.o = o + offset;
  params.o_row_stride = stride;
  params.lse = lse + (static_cast<int64_t>(head) * call.rows + first_row) * group;
  Attend(params, Scratch(AttendScratchFloats(params)));
}

void StepAttention::AttendLocal(const Call& call, const LocalRows& local) {
  const int32_t block_rows = shape_.block.block_rows;
  const int32_t rows = call.plan.tail_rows + call.rows;
  const int32_t count = (rows + block_rows - 1) / block_rows;
  local_refs_.clear();
  for (int32_t head = 0; head < shape_.kv_heads; ++head) {
    for (int32_t i = 0; i < count; ++i) {
      local_refs_.push_back({local.block(call.layer, head, i),
                             (call.plan.local_slot + i) * block_rows,
                             std::min(block_rows, rows - i * block_rows)});
    }
  }
  const int32_t tiles = (call.rows + kRowsPerTask - 1) / kRowsPerTask;
  ParallelFor(static_cast<int64_t>(tiles) * shape_.kv_heads, [&](int64_t task) {
    const auto head = static_cast<int32_t>(task % shape_.kv_heads);
    // Later tiles see more keys: start with them.
    const int32_t first = (tiles - 1 - static_cast<int32_t>(task / shape_.kv_heads)) * kRowsPerTask;
    const int32_t tile = std::min(kRowsPerTask, call.rows - first);
    const std::span<const BlockRef> refs(local_refs_.data() + static_cast<int64_t>(head) * count,
                                         static_cast<size_t>(count));
    AttendRows(call, head, first, tile, refs, shape_.block.open(), call.o, lse_.data());
    WeighRows(call, head, first, tile, refs, shape_.block.open());
  });
}

void StepAttention::MergeFetched(const Call& call, int32_t head, int32_t first_row, int32_t rows) {
  const int32_t dim = shape_.block.head_dim, group = shape_.group();
  for (int32_t row = first_row; row < first_row + rows; ++row) {
    const int64_t at = (static_cast<int64_t>(row) * shape_.query_heads + head * group) * dim;
    const int64_t part = (static_cast<int64_t>(head) * call.rows + row) * group;
    MergeParts(group, dim, call.o + at, dim, lse_.data() + part, fetched_o_.data() + at, dim,
               fetched_lse_.data() + part);
  }
}

void StepAttention::AttendOnHost(const Call& call, int32_t first_row, int32_t rows) {
  const int64_t per_list = BlocksPerList(call);
  const bool shared = call.choice.groups == 1;
  const int32_t tile = shared ? kRowsPerTask : 1;
  const int32_t tiles = (rows + tile - 1) / tile;
  ParallelFor(static_cast<int64_t>(tiles) * shape_.kv_heads, [&](int64_t task) {
    const auto head = static_cast<int32_t>(task % shape_.kv_heads);
    const int32_t from = static_cast<int32_t>(task / shape_.kv_heads) * tile;
    const int32_t count = std::min(tile, rows - from);
    const int64_t list = (shared ? 0 : static_cast<int64_t>(from)) * shape_.kv_heads + head;
    const std::span<const BlockRef> refs(refs_.data() + list * per_list,
                                         static_cast<size_t>(per_list));
    AttendRows(call, head, first_row + from, count, refs, shape_.block, fetched_o_.data(),
               fetched_lse_.data());
    WeighRows(call, head, first_row + from, count, refs, shape_.block);
    MergeFetched(call, head, first_row + from, count);
  });
}

Status StepAttention::AttendOnDevice(const Call& call, int32_t first_row, int32_t rows) {
  if (on_device_ == nullptr) {
    CAIRN_TRY(on_device_, DeviceAttention::Open(shape_, rope_, store_));
  }
  const int32_t group = shape_.group(), heads = shape_.query_heads;
  const int64_t first = static_cast<int64_t>(first_row) * heads * shape_.block.head_dim;
  device_lse_.resize(static_cast<size_t>(rows) * heads);
  CAIRN_TRY(on_device_->Attend({.q = call.q + first,
                                .positions = positions_.data() + first_row,
                                .rows = rows,
                                .groups = call.choice.groups == 1 ? 1 : rows,
                                .per_list = BlocksPerList(call),
                                .lists = refs_,
                                .o = fetched_o_.data() + first,
                                .lse = device_lse_.data()}));
  for (int32_t head = 0; head < shape_.kv_heads; ++head) {
    for (int32_t row = 0; row < rows; ++row) {
      std::copy_n(
          device_lse_.data() + row * heads + head * group, group,
          fetched_lse_.data() + (static_cast<int64_t>(head) * call.rows + first_row + row) * group);
    }
    MergeFetched(call, head, first_row, rows);
  }
  return weighs_ ? WeighOnHost(call, first_row, rows) : Ok();
}

Status StepAttention::AttendFetched(const Call& call, int32_t first_group, int32_t groups,
                                    const Pins& pins) {
  for (size_t i = 0; i < refs_.size(); ++i) refs_[i].payload = pins.payloads()[i];
  const bool shared = call.choice.groups == 1;
  const int32_t first_row = shared ? 0 : first_group;
  const int32_t rows = shared ? call.rows : groups;
  if (store_.device() != nullptr) return AttendOnDevice(call, first_row, rows);
  AttendOnHost(call, first_row, rows);
  return Ok();
}

Result<Pins> StepAttention::WaitFor(TieredStore::Ticket& ticket) {
  const Slice slice(store_.timeline(), "wait");
  return ticket.Wait();
}

Status StepAttention::Run(const StepPlan& plan, int32_t layer, const float* q, int32_t rows,
                          const Choice& choice, const LocalRows& local, const BlockMap& blocks,
                          float* o) {
  const Call call{plan, layer, q, rows, choice, blocks, o};
  const int32_t first_position = plan.local_slot * shape_.block.block_rows + plan.tail_rows;
  positions_.resize(static_cast<size_t>(rows));
  std::iota(positions_.begin(), positions_.end(), first_position);
  lse_.resize(static_cast<size_t>(shape_.query_heads) * rows);
  fetched_lse_.resize(lse_.size());
  fetched_o_.resize(lse_.size() * shape_.block.head_dim);
  BeginWeighing(call);

  const int32_t step = GroupsPerFetch(call);
  const bool fetches = !plan.fixed.empty() || choice.k > 0;
  FetchClock clock(log_ != nullptr && first_row_ + rows > log_->from_row ? log_ : nullptr);
  TieredStore::Ticket ticket;
  const auto start = [&](int32_t group) {
    ListBlocks(call, group, std::min(step, choice.groups - group));
    if (log_ != nullptr) LogTiers();
    clock.Start();
    ticket = store_.StartFetch(ids_);
  };
  if (fetches) {
    start(0);
    if (store_.reads_ahead()) store_.ReadAhead(steady_[(layer + 1) % shape_.layers].steady());
  }
  {
    const Slice slice(store_.timeline(), "local rows", layer);
    AttendLocal(call, local);
  }
  for (int32_t group = 0; fetches && group < choice.groups; group += step) {
    const int32_t groups = std::min(step, choice.groups - group);
    if (group > 0) start(group);
    clock.Wait();
    CAIRN_TRY(auto pins, WaitFor(ticket));
    clock.Stop();
    const Slice slice(store_.timeline(), "chosen rows", layer);
    CAIRN_TRY(AttendFetched(call, group, groups, pins));
    if (log_ != nullptr) {
      CAIRN_TRY(LogGroups(call, group, groups));
    }
  }
  if (weighs_) EndWeighing(call);
  if (fetches && store_.reads_ahead()) steady_[layer].Note(ids_);
  return Ok();
}

}  // namespace cairn
