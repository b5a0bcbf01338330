#include "engine/device_step.h"

#include <algorithm>
#include <atomic>
#include <numeric>

#include "base/check.h"
#include "engine/device_buffers.h"

namespace cairn {
namespace {

constexpr size_t kAlignment = 256;

/// Sections of a buffer, one behind the other.
class Sections {
 public:
  size_t Take(size_t count, size_t bytes_each) {
    const size_t at = bytes_;
    bytes_ += (count * bytes_each + kAlignment - 1) / kAlignment * kAlignment;
    return at;
  }
  size_t bytes() const { return bytes_; }

 private:
  size_t bytes_ = 0;
};

}  // namespace

DeviceStep::DeviceStep(const Parts& parts, DeviceStream stream, DeviceAttend attend,
                       DeviceLocalRows local)
    : parts_(parts),
      device_(*parts.store.device()),
      attend_(std::move(attend)),
      local_(std::move(local)),
      resident_(parts.shape.partitions(), parts.shape.kv_heads, parts.store),
      stream_(std::move(stream)) {}

Result<std::unique_ptr<DeviceStep>> DeviceStep::Open(const Parts& parts, const LocalRows& local) {
  Device& device = *parts.store.device();
  CAIRN_TRY(auto stream, device.MakeStream());
  CAIRN_TRY(auto attend, DeviceAttend::Open(parts.shape, parts.rope, device, stream));
  CAIRN_TRY(auto rows, DeviceLocalRows::Open(parts.shape, local, device));
  std::unique_ptr<DeviceStep> made(
      new DeviceStep(parts, std::move(stream), std::move(attend), std::move(rows)));
  CAIRN_TRY(made->chosen_, device.MakeEvent());
  return made;
}

bool DeviceStep::Takes(const SessionOptions& options) {
  return options.selection != Selection::kPerTokenSharedHeads && options.mass_target == 0;
}

DeviceStep::Now DeviceStep::Plan(const SessionOptions& options, const StepPlan& plan,
                                 int32_t rows) const {
  const int32_t group = parts_.shape.group(), block_rows = parts_.shape.block.block_rows;
  const bool per_chunk = options.selection == Selection::kPerChunk;
  Now now;
  now.plan = plan;
  now.rows = rows;
  now.groups = per_chunk ? 1 : rows;
  now.sample_stride = per_chunk ? std::min(options.query_stride, rows) : 1;
  now.first_sampled = now.sample_stride - 1;
  now.sampled = rows / now.sample_stride;
  now.rows_per_group = (per_chunk ? now.sampled : 1) * group;
  now.per_list = static_cast<int32_t>(plan.fixed.size()) + plan.choose;
  now.far = static_cast<int32_t>(plan.far_end - plan.far_begin);
  now.near = static_cast<int32_t>(plan.near_end - plan.near_begin);
  now.local_blocks = (plan.tail_rows + rows + block_rows - 1) / block_rows;
  CAIRN_CHECK(now.near == 0 || parts_.index.representatives() == 1);
  const size_t each = static_cast<size_t>(now.sampled) * group *
                      (static_cast<size_t>(now.far) * parts_.index.representatives() + now.near);
  now.heads_at_once = static_cast<int32_t>(
      std::clamp<size_t>(most_scores_ / std::max<size_t>(each, 1), 1, heads()));
  const size_t of_group = std::max<size_t>(1, each / static_cast<size_t>(now.groups));
  now.groups_at_once = static_cast<int32_t>(
      std::clamp<size_t>(most_scores_ / of_group, 1, static_cast<size_t>(now.groups)));
  if (now.groups == 1 && !plan.TakesAll()) {
    const SampledQueries queries = {.heads = now.heads_at_once,
                                    .group = group,
                                    .dim = parts_.shape.block.head_dim,
                                    .rows = now.sampled};
    now.scan = parts_.index.ScanFloats(plan.far_begin, plan.far_end, ScanOf(now, queries));
  }
  now.inputs = PlanInputs(now);
  now.work = PlanWork(now);
  return now;
}

DeviceStep::Inputs DeviceStep::PlanInputs(const Now& now) const {
  const auto partitions = static_cast<size_t>(parts_.shape.partitions());
  Inputs inputs{};
  Sections sections;
  sections.Take(static_cast<size_t>(now.rows), sizeof(int32_t));
  inputs.first_row = sections.Take(1, sizeof(int32_t));
  inputs.local =
      sections.Take(partitions * static_cast<size_t>(local_.blocks()), sizeof(cuda::PlacedBlock));
  inputs.local_counts = sections.Take(static_cast<size_t>(heads()), sizeof(int32_t));
  inputs.fixed_blocks = sections.Take(now.plan.fixed.size(), sizeof(int32_t));
  inputs.fixed_slots = sections.Take(now.plan.fixed.size(), sizeof(int32_t));
  inputs.bytes = sections.bytes();
  return inputs;
}

DeviceStep::Work DeviceStep::PlanWork(const Now& now) const {
  const SessionShape& shape = parts_.shape;
  const auto queries = static_cast<size_t>(now.rows) * shape.query_heads;
  const auto lists = static_cast<size_t>(now.groups) * heads();
  const auto placed = lists * now.per_list;
  Work work{};
  Sections sections;
  if (!now.plan.TakesAll()) {
    const auto sampled = static_cast<size_t>(now.sampled) * shape.group();
    const auto at_once =
        static_cast<size_t>(now.groups_at_once) * static_cast<size_t>(now.rows_per_group);
    const size_t blocks = static_cast<size_t>(now.far) + now.near;
    const size_t columns = static_cast<size_t>(now.far) * parts_.index.representatives() + now.near;
    const auto choices = lists * now.plan.choose;
    if (now.scan) {
      work.scores = sections.Take(*now.scan, sizeof(float));
    } else {
      work.queries = sections.Take(sampled * heads() * shape.block.head_dim, sizeof(float));
      work.scores = sections.Take(now.heads_at_once * at_once * columns, sizeof(float));
      work.weights = sections.Take(
          static_cast<size_t>(now.heads_at_once) * now.groups_at_once * blocks, sizeof(float));
    }
    work.lse = sections.Take(now.heads_at_once * at_once, sizeof(float));
    work.log_weights = sections.Take(choices, sizeof(float));
    work.chosen = sections.Take(choices, sizeof(int32_t));
  }
  work.placed = sections.Take(placed, sizeof(cuda::PlacedBlock));
  work.counts = sections.Take(lists, sizeof(int32_t));
  work.o = sections.Take(2 * queries * shape.block.head_dim, sizeof(float));
  work.part_lse = sections.Take(2 * queries, sizeof(float));
  work.whole_lse = sections.Take(queries, sizeof(float));
  DeviceAttendCall call = {.block = shape.block.open(), .rows = now.rows};
  call.per_list = local_.blocks();
  size_t scratch = attend_.ScratchFloats(call);
  if (now.per_list > 0) {
    call.block = shape.block;
    call.groups = now.groups;
    call.per_list = now.per_list;
    scratch = std::max(scratch, attend_.ScratchFloats(call));
  }
  work.scratch = sections.Take(scratch, sizeof(float));
  work.bytes = sections.bytes();
  return work;
}

size_t DeviceStep::StatusWords(int32_t layer) const {
  // Whether it stopped; then how many each layer lacks, and what it chose. Behind all layers, which
  // does not come back to the host: what scans and decodes count in.
  const size_t each = 1 + static_cast<size_t>(now_.groups) * heads() * now_.per_list;
  return 1 + layer * each;
}

size_t DeviceStep::StatusBytes() const {
  const int64_t counts = cuda::DecodeCounts(now_.rows, heads(), parts_.shape.group());
  return (StatusWords(parts_.shape.layers) + static_cast<size_t>(counts)) * sizeof(int32_t);
}

Status DeviceStep::MakeRoom() {
  const size_t status = StatusBytes();
  const size_t near = static_cast<size_t>(now_.near) * parts_.shape.partitions() *
                      parts_.shape.block.head_dim * sizeof(float);
  if (near_.bytes() < near) near_begin_ = near_end_ = 0;  // it is lost
  CAIRN_TRY(Grow(&inputs_, now_.inputs.bytes, device_));
  CAIRN_TRY(Grow(&inputs_on_device_, now_.inputs.bytes, device_));
  CAIRN_TRY(Grow(&near_staged_, near, device_));
  CAIRN_TRY(Grow(&near_, near, device_));
  CAIRN_TRY(Grow(&status_back_, status, device_));
  CAIRN_TRY(Grow(&status_, status, device_));
  return Grow(&work_, now_.work.bytes, device_);
}

Status DeviceStep::StageInputs(int32_t first_position) {
  const int32_t block_rows = parts_.shape.block.block_rows;
  std::byte* const staged = inputs_.data();
  auto* const positions = reinterpret_cast<int32_t*>(staged);
  std::iota(positions, positions + now_.rows, first_position);
  *reinterpret_cast<int32_t*>(staged + now_.inputs.first_row) = now_.plan.tail_rows;
  auto* placed = reinterpret_cast<cuda::PlacedBlock*>(staged + now_.inputs.local);
  const int32_t rows = now_.plan.tail_rows + now_.rows;
  for (int32_t layer = 0; layer < parts_.shape.layers; ++layer) {
    for (int32_t head = 0; head < heads(); ++head) {
      for (int32_t i = 0; i < local_.blocks(); ++i) {
        *placed++ = {local_.block(layer, head, i), (now_.plan.local_slot + i) * block_rows,
                     std::clamp(rows - i * block_rows, 0, block_rows)};
      }
    }
  }
  std::fill_n(reinterpret_cast<int32_t*>(staged + now_.inputs.local_counts), heads(),
              now_.local_blocks);
  auto* block = reinterpret_cast<int32_t*>(staged + now_.inputs.fixed_blocks);
  auto* slot = reinterpret_cast<int32_t*>(staged + now_.inputs.fixed_slots);
  for (const PlacedBlock& fixed : now_.plan.fixed) {
    *block++ = static_cast<int32_t>(fixed.block);
    *slot++ = fixed.slot;
  }
  return stream_.CopyToDevice(inputs_on_device_.data(), staged, now_.inputs.bytes);
}

Status DeviceStep::StageNearKeys() {
  const StepPlan& plan = now_.plan;
  if (now_.near == 0 || plan.TakesAll()) return Ok();
  if (near_begin_ == plan.near_begin && near_end_ == plan.near_end) return Ok();
  const int32_t dim = parts_.shape.block.head_dim;
  auto* key = reinterpret_cast<float*>(near_staged_.data());
  for (int32_t partition = 0; partition < parts_.shape.partitions(); ++partition) {
    for (int64_t block = plan.near_begin; block < plan.near_end; ++block, key += dim) {
      std::copy_n(parts_.near_keys.at(partition, block), dim, key);
    }
  }
  near_begin_ = near_end_ = 0;  // until it is there
  CAIRN_TRY(stream_.CopyToDevice(
      near_.data(), near_staged_.data(),
      static_cast<size_t>(parts_.shape.partitions()) * now_.near * dim * sizeof(float)));
  near_begin_ = plan.near_begin;
  near_end_ = plan.near_end;
  return Ok();
}

void DeviceStep::WantInAllLayers(int64_t ordinal) {
  for (int32_t partition = 0; partition < parts_.shape.partitions(); ++partition) {
    const ResidentBlocks::Block block = {partition, static_cast<int32_t>(ordinal)};
    if (!resident_.Keep(block)) wanted_.push_back(block);
  }
}

// What every layer and row reads is known before the step, and a block that is new is likely to be
// chosen by most. Where that is much of the tier, layers fetch it one by one.
Status DeviceStep::FetchFixed() {
  const StepPlan& plan = now_.plan;
  wanted_.clear();
  for (const PlacedBlock& fixed : plan.fixed) WantInAllLayers(fixed.block);
  if (plan.blocks - 1 == seen_ && seen_ >= plan.near_begin && seen_ < plan.near_end) {
    WantInAllLayers(seen_);
  }
  seen_ = plan.blocks;
  if (wanted_.size() > parts_.store.top_slots().count / 2) wanted_.clear();
  const Status fetched = resident_.Fetch(wanted_, parts_.blocks, stream_);
  if (fetched || fetched.error().code != Errc::kResource) return fetched;
  return resident_.Fetch({}, parts_.blocks, stream_);  // what was let go is in the table no longer
}

void DeviceStep::NoteLaunches() {
  const StepPlan& plan = now_.plan;
  std::vector<int64_t> signature = {now_.rows,
                                    now_.groups,
                                    now_.sampled,
                                    now_.sample_stride,
                                    now_.heads_at_once,
                                    now_.groups_at_once,
                                    now_.per_list,
                                    plan.choose,
                                    plan.far_begin,
                                    plan.far_end,
                                    plan.far_slot,
                                    plan.near_begin,
                                    plan.near_end,
                                    plan.first_slot,
                                    plan.crowd,
                                    std::ssize(plan.fixed),
                                    static_cast<int64_t>(parts_.index.version()),
                                    resident_.table_stride()};
  for (const PlacedBlock& fixed : plan.fixed) signature.push_back(fixed.slot);
  for (const void* at :
       {static_cast<const void*>(inputs_on_device_.data()), static_cast<const void*>(near_.data()),
        static_cast<const void*>(status_.data()), static_cast<const void*>(work_.data()),
        static_cast<const void*>(resident_.table())}) {
    signature.push_back(static_cast<int64_t>(reinterpret_cast<uintptr_t>(at)));
  }
  if (signature == signature_) return;
  static std::atomic<uint64_t> numbers = 0;
  signature_ = std::move(signature);
  launches_ = ++numbers;
}

Status DeviceStep::Begin(const SessionOptions& options, const StepPlan& plan, int32_t rows,
                         int32_t first_position, const LocalRows& local) {
  CAIRN_TRY(device_.Use());
  now_ = Plan(options, plan, rows);
  lacking_ = noted_ = 0;
  resident_.Take();
  resident_.BeginTurn();
  CAIRN_TRY(MakeRoom());
  CAIRN_TRY(parts_.index.OrderAfterAdds(stream_));
  if (!current_ && plan.tail_rows > 0) CAIRN_TRY(local_.Upload(local, stream_));
  current_ = true;
  careful_ = careful_ || (now_.per_list > 0 && resident_.size() == 0);
  CAIRN_TRY(resident_.Reserve(plan.blocks));
  CAIRN_TRY(FetchFixed());
  CAIRN_TRY(StageNearKeys());
  CAIRN_TRY(StageInputs(first_position));
  CAIRN_TRY(ClearStatus());
  NoteLaunches();
  return Ok();
}

void DeviceStep::Abandon() {
  (void)stream_.Wait().has_value();
  resident_.Rest();
}

Status DeviceStep::BringBack(int32_t rows, LocalRows* local) {
  if (!newer_) return Ok();
  if (rows > 0) {
    const int32_t block_rows = parts_.shape.block.block_rows;
    CAIRN_TRY(local_.Download((rows + block_rows - 1) / block_rows, stream_, local));
  }
  newer_ = false;
  return Ok();
}

int32_t DeviceStep::Missing(int32_t layer) const {
  return reinterpret_cast<const int32_t*>(status_back_.data())[StatusWords(layer)];
}

std::span<const int32_t> DeviceStep::Ordinals(int32_t layer) const {
  const auto* const words = reinterpret_cast<const int32_t*>(status_back_.data());
  return {words + StatusWords(layer) + 1, StatusWords(layer + 1) - StatusWords(layer) - 1};
}

// What a layer reads, as it said, is used: what is here of it, if not all is.
void DeviceStep::NoteUses(int32_t layer) {
  const auto ordinals = Ordinals(layer);
  wanted_.clear();
  for (size_t i = 0; i < ordinals.size(); ++i) {
    const auto head = static_cast<int32_t>(i / now_.per_list) % heads();
    wanted_.push_back({layer * heads() + head, ordinals[i]});
  }
  resident_.BeginTurn();  // kernels of other layers do not run now
  resident_.Use(wanted_);
}

// What a layer lacks, which was read from the device.
Status DeviceStep::Fetch(int32_t layer) {
  ++lacking_;
  if (Missing(layer) >= kNoChoice) {
    return Fail(Errc::kInvalidArgument, "queries of layer {} hold NaN or infinity", layer);
  }
  NoteUses(layer);
  CAIRN_TRY(resident_.Fetch(wanted_, parts_.blocks, stream_));
  return ClearStatus();
}

Status DeviceStep::ClearStatus() { return stream_.Fill(status_.data(), 0, StatusBytes()); }

Result<int32_t> DeviceStep::Settle() {
  const int32_t layers = parts_.shape.layers;
  CAIRN_TRY(stream_.CopyToHost(status_back_.data(), status_.data(),
                               StatusWords(layers) * sizeof(int32_t)));
  CAIRN_TRY(stream_.Wait());
  for (; noted_ < layers && Missing(noted_) == 0; ++noted_) NoteUses(noted_);
  if (noted_ < layers) {
    CAIRN_TRY(Fetch(noted_));
    careful_ = true;
    return noted_++;
  }
  if (*reinterpret_cast<const int32_t*>(status_back_.data()) != 0) {
    return Fail(Errc::kIo, "a layer lacked blocks that were fetched for it");
  }
  careful_ = lacking_ > 0;
  return layers;
}

}  // namespace cairn
