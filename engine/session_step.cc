// The steps of a session: append, select, attend, seal.
#include <algorithm>
#include <chrono>

#include "base/check.h"
#include "base/parallel.h"
#include "engine/session.h"
#include "engine/stored_shape.h"
#include "engine/summary.h"

namespace cairn {
namespace {

using Clock = std::chrono::steady_clock;

/// Rows of a step for which it pays to have all of the index first.
constexpr int32_t kManyRows = 64;
/// Steps of few rows of which one settles a partition: twenty milliseconds, at a million tokens.
constexpr int64_t kStepsToSettle = 8;

uint64_t Nanoseconds(Clock::duration passed) {
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::nanoseconds>(passed).count());
}

}  // namespace

Status Session::SetOptions(const SessionOptions& options) {
  CAIRN_TRY(options.Validate(shape_));
  if (options.max_step_rows > options_.max_step_rows) {
    return Fail(Errc::kInvalidArgument, "steps of {} rows: the session was opened for {}",
                options.max_step_rows, options_.max_step_rows);
  }
  const int32_t opened_rows = options_.max_step_rows;
  options_ = options;
  options_.max_step_rows = opened_rows;
  return Ok();
}

void Session::ReservePositions(int64_t reach) {
  const int64_t needed = reach + shape_.block.block_rows;
  if (needed <= rope_.positions()) return;
  const int64_t all = int64_t{shape_.context_rows} + shape_.block.block_rows;
  rope_.Reserve(static_cast<int32_t>(std::min(all, needed + needed / 2)));
}

Status Session::Plan(int32_t rows) {
  CAIRN_CHECK(step_rows_ == 0);
  if (rows < 1 || rows > options_.max_step_rows) {
    return Fail(Errc::kInvalidArgument, "a step of {} rows: the session takes 1 to {}", rows,
                options_.max_step_rows);
  }
  plan_ = PlanStep(shape_, options_, rows_);
  const int64_t reach =
      static_cast<int64_t>(plan_.local_slot) * shape_.block.block_rows + plan_.tail_rows + rows;
  if (reach > shape_.context_rows) {
    return Fail(Errc::kInvalidArgument,
                "a step of {} rows would reach position {}, past the {} the model was trained on; "
                "use shorter steps, or retrieve fewer blocks",
                rows, reach, shape_.context_rows);
  }
  // A mass target may take as many blocks as there are positions for.
  ReservePositions(options_.mass_target > 0 ? shape_.context_rows : reach);
  return Ok();
}

Status Session::BeginStep(int32_t rows) {
  CAIRN_TRY(Plan(rows));
  if (on_device_ != nullptr) {
    CAIRN_TRY(on_device_->BringBack(plan_.tail_rows, &local_));
  }
  if (certifies() && bounds_ == nullptr) CAIRN_TRY(LoadBounds());
  // What opening left of the index: for many rows it pays at once. For few it costs what some
  // hundred steps lose without it, so a little is done now and then.
  if (rows >= kManyRows || settles_first_) {
    index_->Settle(shape_.partitions());
    settles_first_ = false;
  } else if (++few_row_steps_ % kStepsToSettle == 0) {
    index_->Settle(1);
  }
  step_rows_ = rows;
  attention_.BeginStep(rows_);
  attention_.WeighFrom(FirstMeasured());
  return Ok();
}

bool Session::StepsOnDevice() const {
  return device_index_ != nullptr && fits_device_ && DeviceStep::Takes(options_) &&
         log_ == nullptr && !certifies() && !store_.traces();
}

Result<DeviceStep*> Session::BeginStepOnDevice(int32_t rows) {
  CAIRN_CHECK(StepsOnDevice());
  CAIRN_TRY(Plan(rows));
  if (on_device_ == nullptr) {
    auto opened = DeviceStep::Open({.shape = shape_,
                                    .rope = rope_,
                                    .store = store_,
                                    .index = *device_index_,
                                    .near_keys = near_keys_,
                                    .blocks = blocks_},
                                   local_);
    // Nobody needs to ask again and again.
    fits_device_ = opened.has_value() || opened.error().code != Errc::kResource;
    CAIRN_TRY(on_device_, std::move(opened));
  }
  const Status begun = on_device_->Begin(options_, plan_, rows, FirstPosition(plan_), local_);
  if (!begun) {
    on_device_->Abandon();
    return begun.as_failure();
  }
  step_rows_ = rows;
  step_on_device_ = true;
  return on_device_.get();
}

void Session::AbortStep() {
  if (step_on_device_) on_device_->Abandon();
  step_on_device_ = false;
  step_rows_ = 0;
}

void Session::ReleaseDevice() {
  if (on_device_ == nullptr) return;
  on_device_->Abandon();
  on_device_->Release();
}

Status Session::Attend(int32_t layer, const float* q, const float* k, const float* v, float* o) {
  CAIRN_CHECK(step_rows_ > 0 && !step_on_device_ && layer >= 0 && layer < shape_.layers);
  const Slice slice(store_.timeline(), "attention", layer);
  const int64_t stride = static_cast<int64_t>(shape_.kv_heads) * shape_.block.head_dim;
  ParallelFor(step_rows_ < 16 ? 1 : shape_.kv_heads, [&](int64_t task) {
    const int32_t heads = shape_.kv_heads;
    for (int32_t head = static_cast<int32_t>(task); head < heads;
         head += step_rows_ < 16 ? 1 : heads) {
      const int64_t offset = static_cast<int64_t>(head) * shape_.block.head_dim;
      local_.Append(rope_, layer, head, plan_.tail_rows, step_rows_, k + offset, v + offset,
                    stride);
    }
  });
  const StepLog::Mark before = log_ == nullptr ? StepLog::Mark() : log_->mark();
  CAIRN_TRY(ReadPast(options_, plan_, layer, q, o));
  return certifies() ? CertifyRead(layer, q, before, o) : Ok();
}

Status Session::ReadPast(const SessionOptions& options, const StepPlan& plan, int32_t layer,
                         const float* q, float* o) {
  const bool logged = log_ != nullptr && rows_ + step_rows_ > log_->from_row;
  const auto start = logged ? Clock::now() : Clock::time_point();
  {
    const Slice slice(store_.timeline(), "search", layer);
    CAIRN_TRY(selector_.Select(options, plan, layer, q, step_rows_, FirstPosition(plan), &choice_));
  }
  if (logged) {
    log_->layers.push_back({.first_row = rows_,
                            .rows = step_rows_,
                            .layer = layer,
                            .search_ns = Nanoseconds(Clock::now() - start)});
  }
  return attention_.Run(plan, layer, q, step_rows_, choice_, local_, blocks_, o);
}

void Session::Observe(StepLog* log) {
  log_ = log;
  selector_.WantScores(log != nullptr);
  attention_.Observe(log);
}

Status Session::SealBlocks(int32_t complete) {
  CAIRN_TRY(DropDoomed());
  if (extent_ == 0) {
    CAIRN_TRY(extent_, catalog_.NewExtent());
    extent_blocks_ = extent_committed_ = 0;
  }
  for (int32_t i = 0; i < complete; ++i) {
    for (int32_t layer = 0; layer < shape_.layers; ++layer) {
      for (int32_t head = 0; head < shape_.kv_heads; ++head) {
        const BlockId id{extent_, extent_blocks_ + static_cast<uint32_t>(i),
                         static_cast<uint16_t>(layer), static_cast<uint16_t>(head)};
        CAIRN_TRY(store_.Seal(id, {local_.sealed(layer, head, i), shape_.block.payload_bytes()}));
      }
    }
  }
  return Ok();
}

void Session::Extend(SummarySection& section, uint16_t type, int32_t layer, int32_t blocks,
                     const std::string& bytes) const {
  if (section.count == 0) {
    section = {type, 1, extent_, static_cast<uint16_t>(layer), extent_blocks_, 0, {}};
  }
  section.count += static_cast<uint32_t>(blocks);
  section.bytes += bytes;
}

Status Session::AddRepresentatives(int32_t complete) {
  const size_t bytes = SummaryBytes(shape_);
  const size_t per_head = bytes / static_cast<size_t>(shape_.kv_heads);
  std::vector<std::string> packed(static_cast<size_t>(shape_.layers),
                                  std::string(bytes * complete, '\0'));
  ParallelFor(shape_.layers, [&](int64_t layer) {
    std::vector<float> scratch(static_cast<size_t>(shape_.representatives) * shape_.block.head_dim);
    char* target = packed[layer].data();
    for (int32_t i = 0; i < complete; ++i) {
      for (int32_t head = 0; head < shape_.kv_heads; ++head) {
        SummarizeHead(shape_, local_.sealed(static_cast<int32_t>(layer), head, i), scratch.data(),
                      target);
        target += per_head;
      }
    }
  });
  std::vector<float> scratch;
  for (int32_t layer = 0; layer < shape_.layers; ++layer) {
    CAIRN_TRY(AddSummaries(layer, complete, packed[layer].data(), false, scratch));
  }
  for (int32_t layer = 0; layer < shape_.layers; ++layer) {
    Extend(new_sections_[layer], SummaryType(shape_.mode), layer, complete, packed[layer]);
  }
  return Ok();
}

Status Session::EndStep() {
  CAIRN_CHECK(step_rows_ > 0);
  const int32_t local_rows = plan_.tail_rows + step_rows_;
  const int32_t complete = local_rows / shape_.block.block_rows;
  if (step_on_device_) {
    on_device_->End();
    if (complete > 0) CAIRN_TRY(on_device_->BringBack(local_rows, &local_));
  }
  if (complete > 0) {
    const Slice slice(store_.timeline(), "seal", complete);
    local_.Seal(complete);
    Status done = SealBlocks(complete);
    if (done.has_value()) done = AddRepresentatives(complete);
    if (!done.has_value()) {  // all layers become what they were when the step began
      index_->Truncate(0, shape_.partitions(), blocks_.size());
      near_keys_.Truncate(blocks_.size());
      if (bounds_ != nullptr) bounds_->Truncate(blocks_.size());
      if (extent_ != 0) doomed_ = {extent_, extent_blocks_};
      (void)DropDoomed().has_value();
      return done;
    }
    if (bounds_ != nullptr || keeps_sketches()) AddBounds(complete);
    ChainPayloads(complete);
    blocks_.Append({extent_, extent_blocks_, static_cast<uint32_t>(complete)});
    extent_blocks_ += static_cast<uint32_t>(complete);
    local_.DropBlocks(complete, local_rows % shape_.block.block_rows);
  }
  if (on_device_ != nullptr && (complete > 0 || !step_on_device_)) on_device_->Outdate();
  if (store_.device() != nullptr) ++(step_on_device_ ? steps_.on_device : steps_.by_host);
  rows_ += step_rows_;
  step_rows_ = 0;
  step_on_device_ = false;
  return Ok();
}

}  // namespace cairn
